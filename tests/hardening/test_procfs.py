"""Attacks that have the engine take something else for /proc, or write what it means for one file there into another.

The settings that a container is given, and the masks that keep it from the host's, are only as good as the /proc that
they are written to and laid over.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import InvalidError, SandboxError
from sandbox.image.config import ImageConfig
from sandbox.runtime.spec import ContainerSpec, Mount, MountKind, Shared
from tests.hardening.swapping import swapping
from tests.sandbox.image.archives import member
from tests.sandbox.runtime.images import applets

if TYPE_CHECKING:
    from sandbox.runtime.engine import Engine
    from tests.hardening.conftest import Canary, MakeImage
    from tests.sandbox.runtime.conftest import Run

pytestmark = pytest.mark.root

PLACES = ("/proc", "/proc/self/attr", "/proc/sys", "/proc/sys/net", "/proc/bus", "/proc/sysrq-trigger")
# Everything below /proc is the kernel's, settings are read-only, what is masked is empty; the value that was given.
CHECK = """
grep ' /proc' /proc/self/mountinfo | grep -v -e ' - proc ' -e ' /proc/[a-z_]* ro,' -e ' /null /proc/[a-z_]* '
(echo 1 > /proc/sys/kernel/core_pattern) 2>/dev/null && echo written
(echo 1 > /proc/sysrq-trigger) 2>/dev/null && echo pressed
head -c 1 /proc/interrupts
cat /proc/sys/net/ipv4/ip_unprivileged_port_start
"""
SYSCTL = {"net.ipv4.ip_unprivileged_port_start": "77"}


@pytest.mark.parametrize("kind", [MountKind.TMPFS, MountKind.BIND, MountKind.VOLUME])
@pytest.mark.parametrize("place", PLACES)
def test_nothing_is_mounted_over_proc(
    run: Run, image: MakeImage, canary: Canary, tmp_path: Path, place: str, kind: MountKind
) -> None:
    """Neither a directory nor a file, by its name or by a link of the image's (CVE-2019-16884, CVE-2019-19921)."""
    source = tmp_path / "source"
    if place == "/proc/sysrq-trigger":
        source.touch()
    else:
        source.mkdir()
    given = {MountKind.BIND: str(source), MountKind.VOLUME: f"v-{tmp_path.name}", MountKind.TMPFS: ""}[kind]
    hostile = image(member("way", "symlink", target="/proc"), *applets("true"))
    for target in (place, place.replace("/proc", "/way")):
        mount = Mount(kind=kind, source=given, target=target, anonymous=kind is MountKind.VOLUME)
        with pytest.raises(SandboxError, match="cannot mount"):
            run("true", image=hostile, mounts=(mount,), sysctls=SYSCTL)


@pytest.mark.parametrize("place", PLACES)
def test_a_volume_of_the_image_over_proc(run: Run, image: MakeImage, place: str) -> None:
    """An image cannot ask for what a person cannot (CVE-2019-16884)."""
    hostile = image(*applets("grep", "head", "cat"), config=ImageConfig(volumes=(place,)))
    try:
        assert run(CHECK, image=hostile, sysctls=SYSCTL).output == "77\n"
    except SandboxError as error:
        assert "cannot mount" in error.message


@pytest.mark.parametrize("target", ["/elsewhere", "tmp", "../../../../proc", "/proc2/../var/proc"])
def test_an_image_whose_proc_is_a_link(run: Run, image: MakeImage, target: str) -> None:
    """What is masked and read-only is so in the /proc that there is in the end (CVE-2023-27561, CVE-2023-28642)."""
    places = [member(name, "dir") for name in ("elsewhere", "tmp", "var")]
    hostile = image(*places, member("proc", "symlink", target=target), *applets("grep", "head", "cat"))
    try:
        lines = run(CHECK, image=hostile, sysctls=SYSCTL).output.splitlines()
    except SandboxError as error:
        assert "/proc" in error.message
    else:
        assert lines[-1:] == ["77"]
        assert "written" not in lines
        assert "pressed" not in lines


@pytest.mark.slow
@pytest.mark.parametrize("target", ["/proc/self/attr", "/proc/sys/net/ipv4", "/proc/sys/kernel", "/proc"])
def test_a_place_that_is_swapped_with_proc(run: Run, canary: Canary, tmp_path: Path, target: str) -> None:
    """In a directory that two containers share, the place for a mount is in turn a directory and a link to /proc, so
    that a setting would be written to a file of the attacker's choice: it is written to the kernel's own, or nothing
    starts (CVE-2025-52881).
    """
    shared, other = tmp_path / "shared", tmp_path / "other"
    (shared / "place").mkdir(parents=True)
    other.mkdir()
    for name in ("exec", "fscreate", "ip_unprivileged_port_start", "core_pattern"):
        (other / name).symlink_to(f"{canary.path}/secret")
    (shared / "link").symlink_to(target)
    mounts = (
        Mount(kind=MountKind.BIND, source=str(shared), target="/shared"),
        Mount(kind=MountKind.BIND, source=str(other), target="/shared/place"),
        Mount(kind=MountKind.TMPFS, target="/shared/place/sys"),
    )
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    started = refused = 0
    with swapping(shared / "place", shared / "link"):
        deadline = time.monotonic() + 20
        # Both ways have to be met; which is the scheduler's to say.
        while time.monotonic() < deadline and not (started and refused):
            try:
                assert run(CHECK, mounts=mounts, sysctls=SYSCTL).output == "77\n"
                started += 1
            except SandboxError as error:
                assert "/shared/place" in error.message
                refused += 1
    assert started
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before


def test_what_tells_of_the_machine_can_be_replaced(run: Run, tmp_path: Path) -> None:
    """Files such as lxcfs has them, and another procfs: no container is worse off than without."""
    file = tmp_path / "meminfo"
    file.write_text("MemTotal: 1 kB\n")
    mounts = (
        Mount(kind=MountKind.BIND, source=str(file), target="/proc/meminfo"),
        Mount(kind=MountKind.BIND, source="/proc/net", target="/proc/fs"),
    )
    assert run("cat /proc/meminfo", mounts=mounts).output == "MemTotal: 1 kB\n"


@pytest.mark.parametrize(
    "name",
    ["kernel.core_pattern", "kernel.shm_rmid_forced=1+kernel.core_pattern", "net/../kernel/core_pattern", "net..x"],
)
@pytest.mark.parametrize("shared", [Shared(), Shared(user=True)], ids=["own", "host"])
def test_a_setting_of_the_host(engine: Engine, name: str, shared: Shared) -> None:
    """It is refused to whoever asks, also where root of the container were allowed to write it (CVE-2022-0811)."""
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    spec = ContainerSpec(image="busybox", command=("true",), network="none", sysctls={name: "|/evil"}, shared=shared)
    with pytest.raises(InvalidError):
        engine.start(engine.create(spec))
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before
