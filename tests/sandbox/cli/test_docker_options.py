"""Lines that people bring along from docker: every option is understood, and what cannot be had is said."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sandbox.cli.container_options import OPTIONS, container_spec
from sandbox.cli.docker_options import BUILD, RUN, Foreign, check
from sandbox.cli.options import Syntax, UsageError, parse

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.runtime.spec import ContainerSpec
    from tests.sandbox.command import Sandbox

DOCKERS = """
--add-host --annotation --attach --blkio-weight --blkio-weight-device --cap-add --cap-drop --cgroup-parent --cgroupns
--cidfile --cpu-count --cpu-percent --cpu-period --cpu-quota --cpu-rt-period --cpu-rt-runtime --cpu-shares --cpus
--cpuset-cpus --cpuset-mems --detach --detach-keys --device --device-cgroup-rule --device-read-bps --device-read-iops
--device-write-bps --device-write-iops --disable-content-trust --dns --dns-option --dns-search --domainname
--entrypoint --env --env-file --expose --gpus --group-add --health-cmd --health-interval --health-retries
--health-start-interval --health-start-period --health-timeout --help --hostname --init --interactive
--io-maxbandwidth --io-maxiops --ip --ip6 --ipc --isolation --kernel-memory --label --label-file --link
--link-local-ip --log-driver --log-opt --mac-address --memory --memory-reservation --memory-swap --memory-swappiness
--mount --name --network --network-alias --no-healthcheck --oom-kill-disable --oom-score-adj --pid --pids-limit
--platform --privileged --publish --publish-all --pull --quiet --read-only --restart --rm --runtime --security-opt
--shm-size --sig-proxy --stop-signal --stop-timeout --storage-opt --sysctl --tmpfs --tty --ulimit --use-api-socket
--user --userns --uts --volume --volume-driver --volumes-from --workdir
"""


def spec(*words: str) -> ContainerSpec:
    """The container of a line."""
    return container_spec(parse(Syntax("", "IMAGE [ARGUMENT...]", OPTIONS, command=True), [*words, "busybox"]), {})


@pytest.mark.parametrize("one", RUN, ids=lambda one: one.name)
def test_what_cannot_be_had_is_said(one: object) -> None:
    """With the option, the reason, and for most what to do."""
    name = getattr(one, "name")  # noqa: B009
    words = [f"--{name}", "something"] if getattr(one, "value") else [f"--{name}={'1' if name == 'quiet' else 't'}"]  # noqa: B009
    with pytest.raises(UsageError, match=f"--{name}.* cannot be had"):
        spec(*words)


def test_what_is_so_anyway_is_no_mistake() -> None:
    """Switches and values that ask for what the engine does."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    words = f"-q --disable-content-trust --platform linux/{machine} --isolation default --volume-driver local"
    assert spec(*words.split(), "--oom-kill-disable=false", "--memory-swappiness=-1") == spec()


@pytest.mark.parametrize("text", ["02:42:ac:11:00", "02:42:ac:11:00:zz", "01:42:ac:11:00:02", "00:00:00:00:00:00"])
def test_wrong_hardware_addresses(text: str) -> None:
    """Those of no station, or of several."""
    with pytest.raises(UsageError, match="--mac-address"):
        spec("--mac-address", text)


def test_every_option_of_docker_s_is_understood() -> None:
    """Those of `docker run --help`, version 28.2."""
    known = {name for option in OPTIONS for name in option.names} | {
        "--detach",
        "--detach-keys",
        "--sig-proxy",
        "--help",
    }
    assert set(DOCKERS.split()) - known == set()


@pytest.mark.root
def test_streams_that_are_not_attached(sandbox: Sandbox) -> None:
    """Go nowhere, or come from nowhere; what is no stream, or contradicts -d, is refused."""
    line = ("run", "--rm", "--network", "none")
    script = ("busybox", "sh", "-c", "echo out; echo err >&2")
    done = sandbox(*line, "-i", "-a", "stdout", *script, stdin="in\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "out\n", "")
    done = sandbox(*line, "-i", "-a", "stdin", "-a", "STDERR", "busybox", "sh", "-c", "cat >&2; echo out", stdin="in\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "in\n")
    assert "--attach stdfoo is unknown" in sandbox(*line, "-a", "stdfoo", "busybox").stderr
    assert "contradict" in sandbox(*line, "-d", "-a", "stdout", "busybox").stderr


@pytest.mark.root
def test_a_hardware_address_and_a_link(sandbox: Sandbox, name: str) -> None:
    """The interface has it, and inspection tells it; a link is a name in the other's hosts."""
    words = ("--mac-address", "02-42-AC-11-00-99", "busybox", "sleep", "100")
    assert sandbox("run", "-d", "--name", name, *words).returncode == 0
    assert "02:42:ac:11:00:99" in sandbox("exec", name, "ip", "link", "show", "eth0").stdout
    found = sandbox("inspect", "-f", "{{.NetworkSettings.Networks.bridge.MacAddress}}", name).stdout
    assert found == "02:42:ac:11:00:99\n"
    linked = sandbox("run", "--rm", "--link", f"{name}:db", "busybox", "ping", "-c", "1", "-W", "5", "db")
    assert linked.returncode == 0, linked.stderr
    assert sandbox("stop", "--signal", "KILL", "--timeout", "30", name).returncode == 0
    assert "not running in network" in sandbox("run", "--rm", "--link", name, "busybox", "true").stderr


@pytest.mark.parametrize("one", BUILD, ids=lambda one: one.name)
def test_what_a_build_cannot_have_is_said(one: Foreign) -> None:
    """With the option and the reason; what is so anyway does no harm."""
    syntax = Syntax("", "CONTEXT", (one.option,))
    check(parse(syntax, [*(f"--{one.name}={value}" for value in one.accepted), "."]), BUILD)
    if one.reason:
        word = "something" if one.value else str("true" not in one.accepted).lower()
        with pytest.raises(UsageError, match=f"--{one.name}.* cannot be had"):
            check(parse(syntax, [f"--{one.name}={word}", "."]), BUILD)


def test_a_build_says_it_too(sandbox: Sandbox, tmp_path: Path) -> None:
    """Before anything is done."""
    assert "--memory 1g cannot be had" in sandbox("build", "--memory", "1g", str(tmp_path)).stderr
