"""Containers that have the host's user namespace: `--userns host`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.kernel.idmap import in_initial_namespace
from sandbox.runtime.spec import ContainerSpec, ExecSpec, Mount, MountKind, Resources, Security, Shared, Stdio

if TYPE_CHECKING:
    from sandbox.runtime.engine import Engine
    from tests.sandbox.runtime.conftest import Run

pytestmark = pytest.mark.root

HOST = Shared(user=True)


def _started(engine: Engine, **fields: Any) -> str:
    spec = ContainerSpec(image="busybox", command=("sleep", "600"), network="none", auto_remove=True, shared=HOST)
    identifier = engine.create(spec._replace(**fields))
    engine.start(identifier)
    return identifier


def test_its_ids_are_the_engine_s(run: Run, tmp_path: Path) -> None:
    """A file on the host belongs to who made it there, by the same number."""
    mount = Mount(kind=MountKind.BIND, source=str(tmp_path), target="/t")
    result = run("touch /t/mine; readlink /proc/self/ns/user", shared=HOST, mounts=(mount,))
    assert result.output.splitlines()[0] == str(Path("/proc/self/ns/user").readlink())
    assert (tmp_path / "mine").stat().st_uid == os.geteuid()


def test_it_has_no_range_of_ids(engine: Engine) -> None:
    """So none is to be given back."""
    identifier = _started(engine)
    assert identifier not in {str(link.readlink()) for link in (engine.home / "ids").glob("[0-9]*")}
    assert engine.state(identifier).id_base == 0


def test_everything_else_is_taken_away_as_ever(run: Run) -> None:
    """Capabilities, and the one for device nodes too; masks; no further privileges; the seccomp filter."""
    script = """
grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status
head -c 1 /proc/keys
(echo x > /proc/sys/kernel/core_pattern) 2>/dev/null && echo written
mknod /dev/x c 1 3 2>/dev/null && echo made
mount -t tmpfs none /tmp 2>/dev/null && echo mounted
cat /proc/1/environ > /dev/null && ls /proc/self/fd | wc -l
"""
    lines = run(script, shared=HOST).output.split()
    assert lines == ["CapEff:", "00000000a00425fb"[:9] + lines[1][9:], "NoNewPrivs:", "1", "Seccomp:", "2", "4"]
    assert int(lines[1], 16) & (1 << 27 | 1 << 21) == 0  # MKNOD, SYS_ADMIN


def test_a_further_process_and_files(engine: Engine) -> None:
    """`exec` and `cp` come in, and are the same root."""
    identifier = _started(engine)
    reader, writer = os.pipe()
    spec = ExecSpec(command=("sh", "-c", "cat /proc/self/uid_map; grep CapEff /proc/self/status"))
    process = engine.execute(identifier, spec, Stdio(stdout=writer))
    os.close(writer)
    with os.fdopen(reader) as file:
        words = file.read().split()
    process.wait(30)
    assert words[:3] == Path("/proc/self/uid_map").read_text().split()[:3]
    assert int(words[-1], 16) & 1 << 27 == 0
    with engine.files(identifier) as files:
        assert files.look("/bin/busybox", follow=True).kind == "file"


def test_files_of_one_that_has_ended(engine: Engine) -> None:
    """They are reached as those of any other."""
    identifier = _started(engine, command=("true",), auto_remove=False)
    engine.wait(identifier, 30)
    with engine.files(identifier) as files:
        assert files.look("/bin/busybox", follow=True).kind == "file"
    engine.start(identifier)
    engine.wait(identifier, 30)


@pytest.mark.skipif(not in_initial_namespace(), reason="nobody but root makes device nodes")
def test_devices(run: Run) -> None:
    """With the right to make nodes, one of the host's disk opens nothing, unless a rule allows it."""
    disk = Path("/").stat().st_dev
    if not os.major(disk):
        pytest.skip("the host's root is on no disk")
    number = f"{os.major(disk)} {os.minor(disk)}"
    script = (
        f"mknod /dev/disk b {number}; head -c 1 /dev/disk | wc -c; mknod /dev/other c 1 5; head -c 1 /dev/other | wc -c"
    )
    security = Security(capabilities_add=("MKNOD",))
    first = run(script, shared=HOST, security=security, resources=Resources(pids=100))
    if any("devices" in warning for warning in first.warnings):
        pytest.skip("this host does not limit devices")
    assert first.output == "0\n1\n"
    try:
        os.close(os.open(f"/dev/block/{number.replace(' ', ':')}", os.O_RDONLY))
    except OSError:
        return  # the host is a container itself, to which it is closed as well
    rules = (f"b {number.replace(' ', ':')} r",)
    assert run(script, shared=HOST, security=security, device_rules=rules).output == "1\n1\n"


def test_a_directory_of_devices(run: Run) -> None:
    """Whoever mounts the host's /dev has not all that everybody may open on the host, unless a rule allows it."""
    open_to_all = [
        path for path in (Path("/dev/fuse"), Path("/dev/net/tun"), Path("/dev/kvm")) if path.is_char_device()
    ]
    found = next((path for path in open_to_all if path.stat().st_mode & 0o6 == 0o6), None)
    if found is None:
        pytest.skip("no device of this host is open to all")
    mount = Mount(kind=MountKind.BIND, source="/dev", target="/host")
    script = f"(: < /host/{found.relative_to('/dev')}) && echo opened; head -c 1 /host/zero | wc -c"
    number = f"{os.major(found.stat().st_rdev)}:{os.minor(found.stat().st_rdev)}"
    allowed = run(script, mounts=(mount,), device_rules=(f"c {number} rw",))
    assert allowed.output == "opened\n1\n"
    # What an ordinary user may open, his containers may
    if in_initial_namespace() and not any("devices" in warning for warning in allowed.warnings):
        assert run(script, mounts=(mount,)).output == "1\n"
