"""Containers of images that are made to have the engine itself do the damage while it starts them.

An image's files are there before its container is put together: links where the engine mounts, makes or masks, special
files where it reads, programs and modules with the names of what an engine calls. The witness is a directory of the
host; that a container starts is no matter, that nothing of the host changes is.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.errors import SandboxError
from sandbox.image.config import ImageConfig
from sandbox.runtime.spec import ContainerSpec, Mount, MountKind, Security, Stdio
from tests.sandbox.image.archives import member
from tests.sandbox.runtime.images import applets

if TYPE_CHECKING:
    from sandbox.runtime.engine import Engine
    from tests.hardening.conftest import Canary, MakeImage, Start
    from tests.sandbox.runtime.conftest import Run
    from tests.sandbox.runtime.images import Member

pytestmark = pytest.mark.root

# Where the engine mounts or makes something before the container's command runs.
PLACES = (
    *("dev", "proc", "sys", "etc", "dev/pts", "dev/shm", "dev/mqueue", "dev/null", "dev/ptmx", "dev/console"),
    *("etc/hosts", "etc/hostname", "etc/resolv.conf", "sys/fs/cgroup", "volume", "work"),
)


def _parents(place: str) -> list[Member]:
    parts = place.split("/")[:-1]
    return [member("/".join(parts[: number + 1]), "dir") for number in range(len(parts))]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("way", ["absolute", "upward", "by-proc", "loop"])
def test_a_link_where_the_engine_mounts(run: Run, image: MakeImage, canary: Canary, place: str, way: str) -> None:
    """To a directory or file of the host: what is mounted or made lands inside, or nothing runs (CVE-2026-41579,
    CVE-2019-19921, CVE-2022-23648).
    """
    aim = "/etc/passwd" if place.count("/") and place.partition("/")[0] == "etc" else ""
    target = {
        "absolute": f"{canary.path}{aim}",
        "upward": f"{canary.beneath}{aim}",
        "by-proc": f"/proc/self/root{canary.path}{aim}",
        "loop": f"/{place}",
    }[way]
    hostile = image(*_parents(place), member(place, "symlink", target=target), *applets("cat"))
    mount = Mount(kind=MountKind.TMPFS, target="/volume/made")
    try:
        result = run("cat /etc/hostname", image=hostile, working_dir="/place/made", mounts=(mount,), hostname="inside")
    except SandboxError as error:
        assert error.exit_code == 125
    else:
        assert result.output in ("inside\n", "")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ["file", "dir", "fifo"])
def test_something_else_where_the_engine_mounts(run: Run, image: MakeImage, place: str, kind: str) -> None:
    """A fifo holds nobody up, and a file in place of a directory is an error that names it."""
    hostile = image(*_parents(place), member(place, kind), *applets("true"))
    mount = Mount(kind=MountKind.TMPFS, target="/volume")
    try:
        run("true", image=hostile, working_dir="/work", mounts=(mount,))
    except SandboxError as error:
        assert f"/{place.split('/', maxsplit=1)[0]}" in error.message


@pytest.mark.parametrize("target", ["/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/etc/passwd"])
def test_masks_are_the_host_s_null(run: Run, image: MakeImage, target: str) -> None:
    """What hides a path is the device 1:3 and not what the image has in its place (CVE-2025-31133)."""
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    hostile = image(member("dev", "dir"), member("dev/null", "symlink", target=target), *applets("stat", "head"))
    masked = "/proc/interrupts"
    script = f"stat -c '%F %t:%T' /dev/null {masked}; head -c 1 {masked}; (echo x > {masked}) 2>/dev/null"
    assert run(script, image=hostile).output == "character special file 1:3\n" * 2
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before


def test_masks_lead_nowhere_else(run: Run, image: MakeImage, canary: Canary) -> None:
    """An image that is to be masked by way of links: everything is masked in the container's own procfs."""
    hostile = image(
        member("proc", "dir"),
        member("proc/sys", "symlink", target=str(canary.path)),
        member("proc/kcore", "symlink", target=f"{canary.path}/secret"),
        member("proc/self", "symlink", target=str(canary.path)),
        *applets("grep", "sh"),
    )
    assert "/proc/sys " in run("grep -o '/proc/sys ro\\|/proc/sys ' /proc/self/mounts", image=hostile).output


def test_the_console_is_a_terminal_of_its_own(engine: Engine, image: MakeImage, canary: Canary) -> None:
    """Whatever /dev/console, /dev/tty and /dev/pts are in the image (CVE-2025-52565)."""
    hostile = image(
        member("dev", "dir"),
        member("dev/console", "symlink", target=f"{canary.path}/secret"),
        member("dev/tty", "symlink", target=f"{canary.path}/secret"),
        member("dev/pts", "symlink", target=str(canary.path)),
        member("dev/ptmx", "symlink", target="/proc/sysrq-trigger"),
        *applets("stat"),
    )
    spec = ContainerSpec(
        image=hostile, command=("stat", "-c", "%F %t", "/dev/console"), network="none", terminal=True, auto_remove=True
    )
    reader, writer = os.pipe()
    process = engine.start(engine.create(spec), Stdio(stdout=writer))
    os.close(writer)
    with os.fdopen(reader) as file:
        assert file.read().strip() == "character special file 88"  # 136, the first of /dev/pts
    process.wait(10)


@pytest.mark.parametrize("kind", ["fifo", "dir", "huge", "link", "endless", "self"])
@pytest.mark.parametrize("file", ["passwd", "group"])
def test_account_files(run: Run, start: Start, image: MakeImage, canary: Canary, file: str, kind: str) -> None:
    """Read as files of the image and only as such: no fifo holds anybody up, no link leads out (CVE-2024-9341,
    CVE-2024-9676).
    """
    member_of = {
        "fifo": member(f"etc/{file}", "fifo"),
        "dir": member(f"etc/{file}", "dir"),
        "huge": member(f"etc/{file}", data=b"canary:x:0:0::/:/bin/sh\n" * (1 << 18)),
        "link": member(f"etc/{file}", "symlink", target=f"{canary.path}/etc/passwd"),
        "endless": member(f"etc/{file}", "symlink", target="/dev/zero"),
        "self": member(f"etc/{file}", "symlink", target=f"/proc/self/root/{canary.path}/etc/passwd"),
    }[kind]
    hostile = image(member("etc", "dir"), member_of, *applets("grep", "id"))
    script = "grep Uid: /proc/self/status"  # `id` would read the file itself
    assert run(script, image=hostile, user="7").output.split()[1] == "7"
    container = start(image=hostile)
    assert container.execute("sh", "-c", script, user="7:8")[1].split()[1] == "7"
    with pytest.raises(SandboxError, match="no user 'canary'"):
        run("id -u", image=hostile, user="canary")
    with pytest.raises(SandboxError, match=r"no user 'canary'|no group 'canary'"):
        container.execute("id", "-u", user="0:canary" if file == "group" else "canary")


_TROJAN = b"#!/bin/sh\necho $0 >> /pwned\nexec /bin/busybox true\n"
_PROGRAMS = (
    *("ps", "nsenter", "newuidmap", "newgidmap", "nft", "iptables", "ip", "mount", "umount", "getent", "unxz", "gzip"),
    *("systemd-run", "busctl", "modprobe", "tar", "git", "python3", "runc"),
)


def test_programs_of_the_image_are_not_called(run: Run, start: Start, image: MakeImage) -> None:
    """No program of the image runs but the command, on start, exec, with a user and a terminal (CVE-2022-1227,
    CVE-2026-41567).
    """
    trojans = [
        member(f"{folder}/{name}", data=_TROJAN, mode=0o755)
        for folder in ("usr/bin", "usr/sbin", "sbin")
        for name in _PROGRAMS
    ]
    hostile = image(member("usr", "dir"), *trojans, *applets("test", "ls"), config=ImageConfig(user="7:8"))
    environment = {"LD_PRELOAD": "/trojan.so", "PATH": "/usr/bin:/usr/sbin:/sbin:/bin", "PYTHONPATH": "/usr/bin"}
    container = start(image=hostile, environment=environment, network="bridge", command=("/bin/sleep", "60"))
    assert container.execute("/bin/test", "-e", "/pwned")[0] == 1
    container.execute("/bin/sh", "-c", ":", terminal=True)
    assert container.execute("/bin/test", "-e", "/pwned", user="0")[0] == 1


def _trojan_modules() -> list[Member]:
    """Every module that our interpreter could look for by its search path, as a file of the image that tells."""
    body = b"open('/told/' + __name__, 'w').close()\n"
    repository = Path(__file__).parents[2]
    encodings = Path(os.__file__).parent.glob("encodings/*.py")
    names = {*sys.stdlib_module_names, *(f"encodings/{path.stem}" for path in encodings)}
    ours = {str(path.relative_to(repository)) for path in (repository / "sandbox").rglob("*.py")}
    searched = {path for path in sys.path if path} | {str(Path(os.__file__).parent)}
    files = {f"{repository}/{name}" for name in ours}
    for folder in searched:
        files |= {f"{folder}/{name}.py" for name in names}
        suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
        files |= {f"{folder}/lib-dynload/{name}{suffix}" for name in ("_json", "_ctypes", "_socket", "_struct")}
    files |= {f"{folder}/libnss_{name}.so.2" for folder in ("lib", "usr/lib", "lib64") for name in ("files", "dns")}
    return [member(file.lstrip("/"), data=body, mode=0o755) for file in sorted(files)]


def test_modules_of_the_image_are_not_loaded(run: Run, start: Start, image: MakeImage, tmp_path: Path) -> None:
    """Nothing is imported once the image's root is ours, not even to say what failed (CVE-2019-14271)."""
    hostile = image(*_trojan_modules(), *applets("true"))
    told = tmp_path / "told"
    told.mkdir()
    told.chmod(0o777)
    fields: dict[str, Any] = {
        "image": hostile,
        "mounts": (Mount(kind=MountKind.BIND, target="/told", source=str(told)),),
    }
    profile = Security(seccomp='{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}')
    run("true", user="7:8", terminal=True, network="bridge", security=profile, **fields)
    container = start(network="bridge", **fields)
    container.execute("true", terminal=True, user="7")
    failing: list[dict[str, Any]] = [{"user": "nonesuch"}, {"working_dir": "/bin/sh"}, {"user": "7:99999999"}]
    for wrong in failing:
        with pytest.raises(SandboxError):
            run("true", **wrong, **fields)
        with pytest.raises(SandboxError):
            container.execute("true", **wrong)
    for command in ("nonesuch", "/etc", "/told"):
        with pytest.raises(SandboxError):
            run("", command=(command,), **fields)
        with pytest.raises(SandboxError):
            container.execute(command)
    assert list(told.iterdir()) == []


def test_device_nodes_of_the_image(run: Run, image: MakeImage) -> None:
    """A node for a disk of the host opens nothing, if it is kept at all; nor does one that the container makes."""
    number = Path("/").stat().st_dev
    device = (os.major(number), os.minor(number))
    nodes = [member("disk", "block", device=device, mode=0o666), member("zero", "char", device=(1, 5), mode=0o666)]
    try:
        hostile = image(*nodes, *applets("head", "mknod"))
    except SandboxError:
        return
    script = f"head -c 1 /disk; head -c 1 /zero; mknod /own b {device[0]} {device[1]} && head -c 1 /own"
    result = run(script, image=hostile, security=Security(capabilities_add=("ALL",), seccomp="unconfined"))
    assert result.output == ""


@pytest.mark.parametrize("name", ["mount.source", "io.hako.privileged", "hako.security", "io.containerd.x"])
def test_labels_set_nothing(run: Run, image: MakeImage, name: str) -> None:
    """What an image says of itself is never an option (CVE-2026-53488)."""
    unknown = {"Privileged": True, "Mounts": [{"Source": "/", "Target": "/host"}], "CapAdd": ["ALL"]}
    hostile = image(
        *applets("grep", "ls"),
        config=ImageConfig(labels={name: "privileged"}, unknown=unknown, volumes=("/../../host",)),
    )
    output = run("grep CapEff /proc/self/status; ls /host 2>/dev/null", image=hostile).output
    assert output == run("grep CapEff /proc/self/status").output
