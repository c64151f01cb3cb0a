"""The verbs that change containers and watch them, on real ones."""

from __future__ import annotations

import json
import re
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.command import COMMAND

if TYPE_CHECKING:
    from tests.sandbox.command import Sandbox

pytestmark = pytest.mark.root
QUIET = ("--network", "none")
BUSY = ("sh", "-c", "while :; do :; done")


def background(sandbox: Sandbox, name: str, *command: str, options: tuple[str, ...] = ()) -> str:
    """A container that runs; its id."""
    done = sandbox("run", "-d", *QUIET, *options, "--name", name, "busybox", *(command or ("sleep", "1000")))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def inspected(sandbox: Sandbox, name: str) -> dict[str, Any]:
    """What `inspect` says."""
    found: dict[str, Any] = json.loads(sandbox("inspect", name).stdout)[0]
    return found


def test_pause_and_unpause(sandbox: Sandbox, name: str) -> None:
    """A frozen container uses no processor time, is called paused, and goes on where it was."""
    background(sandbox, name, "sh", "-c", "while :; do echo x; sleep 0.02; done")
    assert sandbox("pause", name).stdout == f"{name}\n"
    printed = sandbox("logs", name).stdout
    time.sleep(0.2)
    assert sandbox("logs", name).stdout == printed
    assert inspected(sandbox, name)["State"]["Status"] == "paused"
    assert sandbox("ps", "-q", "--filter", "status=paused", "--filter", f"name={name}").stdout
    assert sandbox("ps", "--filter", f"name={name}", "--format", "{{.Status}}").stdout.endswith(" (Paused)\n")
    refused = sandbox("exec", name, "true")
    assert refused.stderr == f"sandbox: container {name} is paused (`sandbox unpause {name}` lets it go on)\n"
    assert sandbox("pause", name).stderr == f"sandbox: container {name} is paused already\n"
    assert sandbox("unpause", name).returncode == 0
    time.sleep(0.2)
    assert sandbox("logs", name).stdout != printed
    assert sandbox("unpause", name).stderr == f"sandbox: container {name} is not paused\n"


def test_a_paused_container_can_be_ended(sandbox: Sandbox, name: str) -> None:
    """It hears the signal that ends it, and a stop that asks first."""
    background(sandbox, name, "sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.05; done")
    sandbox("pause", name)
    assert sandbox("stop", name).returncode == 0
    assert sandbox("wait", name).stdout == "7\n"
    sandbox("start", name)
    sandbox("pause", name)
    assert sandbox("kill", name).returncode == 0
    assert sandbox("wait", name).stdout == "137\n"


def test_rename(sandbox: Sandbox, name: str) -> None:
    """It is found by the new name only, running or not; a name in use is refused."""
    identifier = background(sandbox, f"{name}-old")
    assert sandbox("rename", f"{name}-old", name).returncode == 0
    assert inspected(sandbox, name)["Name"] == f"/{name}"
    assert sandbox("inspect", f"{name}-old").returncode == 125
    refused = sandbox("rename", identifier, name)
    assert refused.stderr.startswith(f"sandbox: container {name} has that name already")
    other = sandbox("create", *QUIET, "busybox", "true").stdout.strip()
    try:
        refused = sandbox("rename", other, name)
        assert refused.stderr.startswith(f"sandbox: the name '{name}' is in use by container {identifier[:12]}")
    finally:
        sandbox("rm", other)
    assert sandbox("rename", name, "a b").returncode == 125


def test_a_renamed_container_frees_its_name_at_its_end(sandbox: Sandbox, name: str) -> None:
    """One that removes itself leaves neither its old nor its new name behind."""
    background(sandbox, f"{name}-old", options=("--rm",))
    sandbox("rename", f"{name}-old", name)
    sandbox("stop", "-t", "0", name)
    for free in (name, f"{name}-old"):
        assert sandbox("run", "--rm", *QUIET, "--name", free, "busybox", "true").returncode == 0


def test_update(sandbox: Sandbox, name: str) -> None:
    """Limits change in the running container's control group, and stay for its next start."""
    background(sandbox, name, options=("--memory", "64m"))
    assert sandbox("update", "--memory", "32m", "--pids-limit", "20", name).returncode == 0
    assert inspected(sandbox, name)["HostConfig"]["Memory"] == 32 << 20
    shown = json.loads(sandbox("stats", "--no-stream", "--format", "json", name).stdout)
    assert shown["MemUsage"].endswith(" / 32MiB")
    nothing = sandbox("update", name)
    assert (nothing.returncode, nothing.stderr.split(" (")[0]) == (2, "sandbox: nothing to change")
    assert sandbox("update", "--memory-swap", "8m", name).returncode == 125
    assert sandbox("update", "--restart", "sometimes", name).returncode == 2


def test_restart(sandbox: Sandbox, name: str) -> None:
    """It ends and begins anew, with its files."""
    background(sandbox, name, "sh", "-c", "echo x >> /count; wc -l < /count; exec sleep 1000")
    assert sandbox("restart", "-t", "0", name).stdout == f"{name}\n"
    assert sandbox("logs", name).stdout == "1\n2\n"


def test_top(sandbox: Sandbox, name: str) -> None:
    """The processes by the host's numbers, without a program of the image's; columns by -o; no control characters."""
    background(sandbox, name, "sh", "-c", "sleep 1001 & exec sh -c 'sleep 1002; :' \"$(printf '\\033')\"")
    lines = sandbox("top", name).stdout.splitlines()
    assert lines[0].split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert any("sleep 1001" in line for line in lines)
    assert "\033" not in "".join(lines)
    pids = [line.strip() for line in sandbox("top", name, "-o", "pid").stdout.splitlines()[1:]]
    assert str(inspected(sandbox, name)["State"]["Pid"]) in pids
    assert sandbox("top", name, "-o", "what").stderr.startswith("sandbox: no column 'what' (there are: uid,")


@pytest.mark.slow
def test_stats(sandbox: Sandbox, name: str) -> None:
    """What a busy container uses, once and again; one that does not run uses nothing."""
    background(sandbox, name, *BUSY, options=("--memory", "64m"))
    shown = json.loads(sandbox("stats", "--no-stream", "--format", "json", name).stdout)
    assert float(shown["CPUPerc"].removesuffix("%")) > 1
    assert re.fullmatch(r"[\d.]+[KM]iB / 64MiB", shown["MemUsage"])
    assert int(shown["PIDs"]) == 1
    with subprocess.Popen([*COMMAND, "stats", "--format", "{{.Name}}", name], env=sandbox.environment,
                          stdout=subprocess.PIPE, text=True) as watching:  # fmt: skip
        assert watching.stdout is not None
        assert [watching.stdout.readline(), watching.stdout.readline()] == [f"{name}\n"] * 2
        watching.terminate()
    sandbox("stop", "-t", "0", name)
    assert sandbox("stats", "--no-stream", "--format", "{{.MemUsage}}", name).stdout == "-- / --\n"
    assert sandbox("stats", "--no-stream", "nosuch").returncode == 125


def test_events_tell_a_life(sandbox: Sandbox, name: str) -> None:
    """Everything that happened to a container, in order; by filters; as JSON."""
    background(sandbox, name, options=("--label", "a=1"))
    for line in (("pause", name), ("unpause", name), ("kill", "-s", "KILL", name), ("wait", name), ("rm", name)):
        sandbox(*line)
    of_it = ("events", "--since", "1m", "--until", "0s", "--filter", f"container={name}")
    actions = sandbox(*of_it, "--format", "{{.Action}}").stdout.split()
    assert sorted(actions) == sorted(["create", "start", "pause", "unpause", "kill", "die", "destroy"])
    assert actions[:4] == ["create", "start", "pause", "unpause"]
    died = json.loads(sandbox(*of_it, "--filter", "event=die", "--format", "json").stdout)
    assert died["Actor"]["Attributes"] == {"image": "busybox", "name": name, "exitCode": "137", "a": "1"}
    assert sandbox(*of_it, "--filter", "label=a=2").stdout == ""
    assert sandbox("events", "--filter", "what=1").returncode == 2
    assert sandbox("events", "--since", "yesterday").returncode == 2


def test_events_can_be_watched(sandbox: Sandbox, name: str) -> None:
    """Without --until they are printed as they come."""
    with subprocess.Popen([*COMMAND, "events", "--filter", f"container={name}"], env=sandbox.environment,
                          stdout=subprocess.PIPE, text=True) as watching:  # fmt: skip
        assert watching.stdout is not None
        time.sleep(0.3)
        sandbox("create", *QUIET, "--name", name, "busybox", "true")
        assert re.match(rf"\d{{4}}-\S+ container create [0-9a-f]{{64}} \(image=busybox, name={name}\)\n",
                        watching.stdout.readline())  # fmt: skip
        watching.terminate()


def test_attach_without_a_terminal(sandbox: Sandbox, name: str) -> None:
    """Output and errors from now on, input to one that has it open, the exit code; its input outlives us."""
    background(sandbox, name, "sh", "-c", "read a; echo got $a; read b; echo got $b >&2; exit 5", options=("-i",))
    with subprocess.Popen([*COMMAND, "attach", name], env=sandbox.environment, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as first:  # fmt: skip
        assert first.stdin is not None
        assert first.stdout is not None
        first.stdin.write("one\n")
        first.stdin.close()
        assert first.stdout.readline() == "got one\n"
        second = sandbox("attach", name, stdin="two\n")
        assert (second.stdout, second.stderr, second.returncode) == ("", "got two\n", 5)
        assert first.wait(10) == 5
    gone = sandbox("attach", name)
    assert (gone.returncode, gone.stderr.count("is not running")) == (125, 1)


def test_attach_to_a_paused_container(sandbox: Sandbox, name: str) -> None:
    """It is refused, with what to do."""
    background(sandbox, name)
    sandbox("pause", name)
    assert f"`sandbox unpause {name}`" in sandbox("attach", name).stderr
