"""What a container uses, for `stats`: its control group's counts, its network's, and shares between two looks.

`look` asks the kernel, `between` is pure. Docker's rules: page cache that could go at once is not counted as used, and
the limit is the host's memory where the container has none.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Counts(NamedTuple):
    """Counts of one moment (`at`, seconds of a clock that never jumps); bytes, and processor time in nanoseconds."""

    at: float
    processor: int
    memory: int
    memory_limit: int
    tasks: int
    received: int = 0
    sent: int = 0
    read: int = 0
    written: int = 0


class Usage(NamedTuple):
    """What is shown: `processor` and `memory_share` in percent of one processor and of the limit."""

    processor: float
    memory: int
    memory_limit: int
    memory_share: float
    tasks: int
    received: int
    sent: int
    read: int
    written: int


def look(statistics: Mapping[str, Any], pid: int) -> Counts:
    """The counts of now; `statistics` are the control group's, `pid` is the container's first process."""
    used = int(statistics.get("memory_usage", 0)) - int(statistics.get("memory_inactive_file", 0))
    received, sent = _network(pid)
    return Counts(
        at=time.monotonic(),
        processor=int(statistics.get("cpu_ns", 0)),
        memory=max(used, 0),
        memory_limit=int(statistics.get("memory_limit", 0)) or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        tasks=int(statistics.get("pids", 0)),
        received=received,
        sent=sent,
        read=int(statistics.get("io_read", 0)),
        written=int(statistics.get("io_written", 0)),
    )


def between(before: Counts, now: Counts) -> Usage:
    """What the time between two looks says."""
    elapsed = (now.at - before.at) * 1e9
    return Usage(
        processor=100 * max(now.processor - before.processor, 0) / elapsed if elapsed > 0 else 0.0,
        memory=now.memory,
        memory_limit=now.memory_limit,
        memory_share=100 * now.memory / now.memory_limit if now.memory_limit else 0.0,
        tasks=now.tasks,
        received=now.received,
        sent=now.sent,
        read=now.read,
        written=now.written,
    )


def _network(pid: int) -> tuple[int, int]:
    """Bytes received and sent on all interfaces but loopback; none where the process is gone or not ours to look at."""
    try:
        with open(f"/proc/{pid}/net/dev", "rb") as file:
            lines = file.read(1 << 16).decode("ascii", "replace").splitlines()[2:]
    except OSError:
        return 0, 0
    rows = [line.partition(":")[2].split() for line in lines if line.partition(":")[0].strip() != "lo"]
    return sum(int(row[0]) for row in rows), sum(int(row[8]) for row in rows)
