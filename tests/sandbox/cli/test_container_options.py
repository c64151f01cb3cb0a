"""From a line to a ContainerSpec."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.cli.container_options import container_spec, pull
from sandbox.cli.limits import UNLIMITED_PIDS
from sandbox.cli.main import load
from sandbox.cli.options import Arguments, UsageError, parse
from sandbox.errors import InvalidError
from sandbox.runtime.spec import ContainerSpec, DiskRate, LogDriver, Mount, MountKind, Resources, Security

if TYPE_CHECKING:
    from pathlib import Path


def arguments(*words: str) -> Arguments:
    """The words after `run`."""
    return parse(load("run").syntax, words)


def spec(*words: str) -> ContainerSpec:
    """What `run` makes of them."""
    return container_spec(arguments(*words), {"HERE": "yes"})


def test_the_defaults_are_those_of_the_record() -> None:
    """A line with nothing but an image asks for nothing but an image."""
    assert spec("busybox") == ContainerSpec(image="busybox")


def test_every_option_arrives() -> None:
    """Each option sets its field."""
    line = (
        "-i -t --rm -e A=1 -e HERE -w /src -u 1000:100 --name box -h host --entrypoint /init --network net "
        "--network-alias a --network-alias b --add-host db:10.0.0.7 -v /a:/b:ro --tmpfs /t --read-only --shm-size 1m "
        "-l x=y -m 64m --cpus 1.5 --pids-limit 100 --cap-add NET_ADMIN --cap-drop ALL --stop-signal INT "
        "--stop-timeout 3 --log-driver none busybox one two"
    )
    assert spec(*line.split()) == ContainerSpec(
        image="busybox",
        name="box",
        entrypoint=("/init",),
        command=("one", "two"),
        environment={"A": "1", "HERE": "yes"},
        working_dir="/src",
        user="1000:100",
        hostname="host",
        terminal=True,
        open_stdin=True,
        auto_remove=True,
        network="net",
        aliases=("a", "b"),
        extra_hosts=(("db", "10.0.0.7"),),
        mounts=(
            Mount(kind=MountKind.BIND, source="/a", target="/b", read_only=True),
            Mount(kind=MountKind.TMPFS, target="/t"),
        ),
        read_only=True,
        shm_size=1 << 20,
        labels={"x": "y"},
        resources=Resources(memory=64 << 20, cpus=1.5, pids=100),
        security=Security(capabilities_add=("NET_ADMIN",), capabilities_drop=("ALL",)),
        stop_signal="INT",
        stop_timeout=3,
        log_driver=LogDriver.NONE,
    )


@pytest.mark.parametrize(("text", "expected"), [("0", UNLIMITED_PIDS), ("-1", UNLIMITED_PIDS), ("7", 7)])
def test_no_limit_of_processes(text: str, expected: int) -> None:
    """0 and -1 mean as many as there can be, since no option means the engine's own limit."""
    assert spec("--pids-limit", text, "busybox").resources.pids == expected


def test_an_empty_entrypoint_takes_the_images_away() -> None:
    """`--entrypoint ""` is docker's way to run the command alone."""
    assert spec("--entrypoint", "", "busybox", "ls").entrypoint == ()


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("no-new-privileges", Security()),
        ("no-new-privileges:true", Security()),
        ("no-new-privileges=false", Security(no_new_privileges=False)),
        ("no-new-privileges:false", Security(no_new_privileges=False)),
        ("seccomp=unconfined", Security(seccomp="unconfined")),
        ("seccomp:unconfined", Security(seccomp="unconfined")),
        ("seccomp=builtin", Security()),
        ("apparmor=unconfined", Security()),
        ("label=disable", Security()),
    ],
)
def test_security_options(option: str, expected: Security) -> None:
    """Docker's spellings; what is about modules of the kernel that are not used is passed over."""
    assert spec("--security-opt", option, "busybox").security == expected


def test_a_seccomp_profile_is_read(tmp_path: Path) -> None:
    """`seccomp=FILE` carries the file's text."""
    file = tmp_path / "profile.json"
    file.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
    assert spec("--security-opt", f"seccomp={file}", "busybox").security.seccomp == file.read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--memory", "1m", "x"], "--memory '1m' is too little"),
        (["--memory", "much", "x"], "--memory 'much' is not a size"),
        (["--cpus", "none", "x"], "--cpus 'none'"),
        (["--pids-limit", "-2", "x"], "--pids-limit '-2'"),
        (["--stop-timeout", "-1", "x"], "--stop-timeout '-1'"),
        (["--stop-signal", "SIGNONE", "x"], "SIGNONE"),
        (["--log-driver", "json-file", "x"], "--log-driver 'json-file' is unknown"),
        (["--security-opt", "magic", "x"], "--security-opt 'magic' is unknown"),
        (["--security-opt", "no-new-privileges=maybe", "x"], "is unknown"),
        (["--cap-add", "NONSENSE", "x"], "unknown capability 'NONSENSE'"),
        (["-v", "/a:/b", "-v", "/c:/b", "x"], "two mounts on /b"),
        (["--pids-limit", "1", ""], "the name of the image is empty"),
    ],
)
def test_mistakes(words: list[str], message: str) -> None:
    """Each is told with the option and the value."""
    with pytest.raises(InvalidError) as caught:
        spec(*words)
    assert message in str(caught.value)


def test_whether_a_missing_image_is_made() -> None:
    """Unless --pull never says otherwise."""
    assert pull(arguments("busybox")) == "missing"
    assert pull(arguments("--pull", "never", "busybox")) == "never"
    with pytest.raises(UsageError, match="--pull 'often'"):
        pull(arguments("--pull=often", "busybox"))


def test_limits_of_disks() -> None:
    """A weight, and rates in bytes or operations; what is neither is told."""
    line = "--blkio-weight 300 --device-read-bps /dev/sda:1m --device-write-iops /dev/sdb:50 busybox"
    weight = ("--blkio-weight-device", "/dev/sda:200")
    rates = (DiskRate("read_bps", "/dev/sda", 1 << 20), DiskRate("write_iops", "/dev/sdb", 50))
    assert spec(*line.split()).resources == Resources(blkio_weight=300, disk_rates=rates)
    assert spec(*weight, "busybox").resources == Resources(disk_rates=(DiskRate("weight", "/dev/sda", 200),))
    for wrong in (
        "--blkio-weight 5",
        "--blkio-weight-device /dev/sda:5",
        "--blkio-weight-device sda:300",
        "--memory-swappiness 101",
        "--device-read-bps sda:1m",
        "--device-read-bps /dev/sda",
        "--device-read-iops /a:0",
    ):
        with pytest.raises(UsageError, match=wrong.split()[0]):
            spec(*wrong.split(), "busybox")
