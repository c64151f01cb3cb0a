"""What happened below a `$HAKO_HOME`: a bounded log that everybody appends to and `sandbox events` reads.

One line of JSON an event, written with a single append, so lines of several processes never mix. When the file is full
it becomes `events.1` and a new one begins: the last events are there, the disk is not filled. Names of actions and
attributes are docker's (Engine API, EventMessage). Recording never fails: an event that cannot be kept is lost, what it
tells about is not held up.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from typing import TYPE_CHECKING

from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from sandbox.runtime.config import ContainerConfig

LIMIT = 4 << 20  # bytes of one of the two files
_POLL = 0.05  # seconds between two looks at a log that is followed
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


class Event(NamedTuple):
    """`time` in nanoseconds since the epoch; `kind` is container, image, volume or network; `id` its id or name."""

    time: int
    kind: str
    action: str
    id: str
    attributes: Mapping[str, str]


def record(home: Path, kind: str, action: str, identifier: str, attributes: Mapping[str, str]) -> None:
    """Append one event."""
    fields = (time.time_ns(), kind, action, identifier, dict(attributes))
    with contextlib.suppress(OSError):
        line = json.dumps(fields, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
        descriptor = os.open(home / "events", _FLAGS, 0o600)
        try:
            os.write(descriptor, line)
            if os.fstat(descriptor).st_size > LIMIT:
                _begin_anew(home, descriptor)
        finally:
            os.close(descriptor)


def of_container(home: Path, config: ContainerConfig, action: str, **attributes: str) -> None:
    """Append one event of a container, with its image, name and labels."""
    known = {"image": config.spec.image, "name": config.name, **config.spec.labels}
    record(home, "container", action, config.id, known | attributes)


def _begin_anew(home: Path, descriptor: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    if os.fstat(descriptor).st_ino == (home / "events").stat().st_ino:  # else another has done it
        (home / "events").rename(home / "events.1")


def read(home: Path, *, going: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """All that is kept, the oldest first; then what is added, while `going` answers true, and once more afterwards."""
    yield from _file(home / "events.1", 0)[0]
    inode, position, more = 0, 0, True
    while True:
        with contextlib.suppress(FileNotFoundError):
            found = (home / "events").stat().st_ino
            if inode not in (0, found):  # it was full: the rest of the former one first
                yield from _file(home / "events.1", position)[0]
                position = 0
            inode = found
            events, position = _file(home / "events", position)
            yield from events
        if not more:
            return
        more = going()
        if more:
            time.sleep(_POLL)


def _file(path: Path, start: int) -> tuple[list[Event], int]:
    """The events of a file from byte `start` on, and where its last whole line ends."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(2 * LIMIT)
    except FileNotFoundError:
        return [], start
    end = data.rfind(b"\n") + 1
    found = []
    for line in data[:end].splitlines():
        with contextlib.suppress(ValueError, TypeError):  # a line of a machine that lost its power
            found.append(Event(*json.loads(line)))
    return found, start + end
