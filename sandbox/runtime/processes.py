"""The processes of a container as the host sees them, for `top`: read from /proc, no program is run for it.

Names and arguments are the container's own words; who prints them takes care of what they contain.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_TICKS = os.sysconf("SC_CLK_TCK")
_LIMIT = 1 << 16  # bytes of one file of /proc
_TTY_MAJORS = range(136, 144)


class Running(NamedTuple):
    """`started` in seconds since the epoch, `used` seconds of processor time; `terminal` is "?" without
    one.
    """

    pid: int
    parent: int
    uid: int
    started: float
    used: float
    terminal: str
    command: str


def look(numbers: Iterable[int], boot: float) -> list[Running]:
    """Those of `numbers` that are still there; `boot` is when the host started, in seconds since the epoch."""
    found = []
    for pid in sorted(numbers):
        try:
            found.append(_one(pid, boot))
        except (FileNotFoundError, ProcessLookupError, ValueError, IndexError):
            continue
    return found


def boot_time() -> float:
    """When this host started, in seconds since the epoch; from /proc/stat."""
    for line in _read("/proc/stat").splitlines():
        if line.startswith(b"btime "):
            return float(line.split()[1])
    return 0.0


def _one(pid: int, boot: float) -> Running:
    text = _read(f"/proc/{pid}/stat")
    name = text[text.index(b"(") + 1 : text.rindex(b")")]
    fields = text[text.rindex(b")") + 2 :].split()  # from the third on, proc_pid_stat(5)
    ids = next(line for line in _read(f"/proc/{pid}/status").splitlines() if line.startswith(b"Uid:"))
    arguments = [part for part in _read(f"/proc/{pid}/cmdline").split(b"\0") if part]
    device = int(fields[4])
    used = (int(fields[11]) + int(fields[12])) / _TICKS
    started = int(fields[19]) / _TICKS
    return Running(
        pid=pid,
        parent=int(fields[1]),
        uid=int(ids.split()[2]),
        started=boot + started,
        used=used,
        terminal=f"pts/{os.minor(device)}" if os.major(device) in _TTY_MAJORS else "?",
        command=(b" ".join(arguments) or b"[" + name + b"]").decode("utf-8", "replace"),
    )


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _LIMIT)
    finally:
        os.close(descriptor)
