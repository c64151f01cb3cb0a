"""What a test run must not leave on the host: mounts, interfaces, control groups, processes.

Called by the root conftest, once before and once after a run. Names are the engine's own: interfaces `hako…` and `hk…`
(bridges and veths), packet filter tables of the same names, control groups below `hako`. Those of the standard state
directory (`hako0`, table `hako`) are kept for the next container and are no leak.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

_PREFIXES = ("hako", "hk")
_STANDARD = ("hako", "hako0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What is there at one moment, each thing by a line that names it."""

    mounts: frozenset[str]
    interfaces: frozenset[str]
    tables: frozenset[str]
    cgroups: frozenset[str]
    processes: frozenset[int]

    @classmethod
    def take(cls) -> Snapshot:
        """Read the present state of this process's namespaces."""
        return cls(
            mounts=frozenset(_mounts(Path("/proc/self/mountinfo"))),
            interfaces=frozenset(filter(_is_ours, _names(Path("/sys/class/net")))),
            tables=frozenset(filter(_is_ours, _tables())),
            cgroups=frozenset(_cgroups(Path("/sys/fs/cgroup"))),
            processes=frozenset(int(name) for name in _names(Path("/proc")) if name.isdigit()),
        )


def left_behind(before: Snapshot, *, mark: str, patience: float) -> tuple[str, ...]:
    """Name what is there now and was not before; waits up to `patience` seconds for what is still being taken down.

    Processes count when `mark` (NAME=value) is in their environment: what a run starts inherits it.
    """
    deadline = time.monotonic() + patience
    while True:
        found = _compare(before, Snapshot.take(), mark.encode())
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def _compare(before: Snapshot, now: Snapshot, mark: bytes) -> tuple[str, ...]:
    lines = [f"mount {point}" for point in sorted(now.mounts - before.mounts)]
    lines += [f"interface {name}" for name in sorted(now.interfaces - before.interfaces)]
    lines += [f"packet filter table {name}" for name in sorted(now.tables - before.tables)]
    lines += [f"control group {name}" for name in sorted(now.cgroups - before.cgroups)]
    own = _ancestors(os.getpid())
    for pid in sorted(now.processes - before.processes - own):
        if _has_mark(pid, mark):
            lines.append(f"process {pid}: {_command(pid)}")
    return tuple(lines)


def _is_ours(name: str) -> bool:
    return name.startswith(_PREFIXES) and name not in _STANDARD


def _tables() -> list[str]:
    """Names of the nftables tables; none where there is no `nft`, or no right to look."""
    nft = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if nft is None:
        return []
    listed = subprocess.run([nft, "list", "tables"], capture_output=True, text=True, check=False).stdout
    return [line.split()[-1] for line in listed.splitlines() if line.startswith("table ")]


def _mounts(table: Path) -> list[str]:
    """Mount points, decoded enough to be read."""
    return [line.split(" ")[4] for line in table.read_text(errors="replace").splitlines()]


def _names(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)  # noqa: PTH208 - names are all that is wanted
    except OSError:
        return []


def _cgroups(root: Path) -> list[str]:
    """Every group below a group named `hako`, at the root of each hierarchy."""
    found = []
    for parent in (root / "hako", *(root / name / "hako" for name in _names(root))):
        found += [str(parent / name) for name in _names(parent) if (parent / name).is_dir()]
    return found


def _ancestors(pid: int) -> frozenset[int]:
    found = {pid}
    while pid > 1:
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            break
        found.add(pid)
    return frozenset(found)


def _has_mark(pid: int, mark: bytes) -> bool:
    """A process's environment as it was at its last exec; one that is gone or another user's has none for us.

    A child that called no exec since shows its parent's. Zombies show nothing.
    """
    try:
        return mark in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()[:200]
    except OSError:
        return "?"
