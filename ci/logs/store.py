"""All logs of a server, below one folder: who appends to one, ends it, keeps it and opens it needs only its key.

`growing/<stage>.<attempt>.<step>/` is a log that grows (`live`), `<stage>/<attempt>.<step>.log.zst` a finished one
(`archive`). Between the two, both may be there, whole; readers take the finished one. A log that has ended is finished
by whoever calls `finish`, at any time; what a process was killed over is still in `growing`.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from ci.errors import CiError
from ci.logs import archive
from ci.logs.archive import ArchiveSource
from ci.logs.live import DATA, EndedError, LiveSource, exclusive, sync_folder
from ci.logs.reading import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ci.logs.reading import Source

GROWING = "growing"
LIMIT = 4 << 30  # bytes of one log that runners send
_LAST_WORDS = 4096  # bytes more, for the line in which a runner says that there were more


class LogKey(NamedTuple):
    """Of which step a log is: its number in an attempt at a Stage, by the Stage's id."""

    stage: int
    attempt: int
    step: int


class Logs:
    """Those below `folder`. Thread-safe, and several processes may have one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def append(
        self, key: LogKey, offset: int, data: bytes, *, time: float, limit: int = LIMIT + _LAST_WORDS, end: bool = False
    ) -> int:
        """Take the bytes from `offset` on, of which those that are there already are dropped; how many there are now.

        With `end`, all of it is on the disk when this returns. Raises GapError, LimitError, EndedError.
        """
        while not self._archive(key).exists():
            with suppress(FileNotFoundError), exclusive(self._live(key), make=True) as writer:
                if not self._archive(key).exists():  # else it has been finished while we waited
                    size = writer.append(offset, data, time=time, limit=limit)
                    if end:
                        writer.finish()
                    return size
        with self.open(key) as reader:
            if offset + len(data) > reader.size:
                raise EndedError(f"the log has ended with {reader.size} bytes")
            return reader.size

    def open(self, key: LogKey) -> Reader:
        """To be read, as far as it has come. Raises CiError where there is none."""
        return Reader(self._source(key))

    def _source(self, key: LogKey) -> Source:
        for _ in range(2):  # it may have become a file between two looks
            with suppress(FileNotFoundError):
                return ArchiveSource(self._archive(key))
            with suppress(FileNotFoundError):
                return LiveSource(self._live(key))
        raise CiError(f"there is no log of step {key.step}", hint="it has not begun", reference="no-such-log")

    def finish(self, key: LogKey) -> bool:
        """Compress a log that has ended; whether it is finished now. Again is as once."""
        folder, target = self._live(key), self._archive(key)
        try:
            with exclusive(folder) as writer:
                if not writer.ended:
                    return False
                if not target.exists():
                    target.parent.mkdir(mode=0o700, exist_ok=True)
                    sync_folder(self._folder)
                    source = LiveSource(folder)
                    try:
                        archive.write(source, target)
                    finally:
                        source.close()
                (folder / DATA).unlink()
        except FileNotFoundError:
            if not target.exists():
                return False
        shutil.rmtree(folder, ignore_errors=True)
        return True

    def growing(self, stage: int | None = None) -> Iterator[LogKey]:
        """Those that are not finished, whether they have ended or not; of one Stage or of all."""
        for path in (self._folder / GROWING).glob(f"{'*' if stage is None else stage}.*.*/"):
            numbers = path.name.split(".")
            if len(numbers) == 3 and all(number.isdecimal() for number in numbers):
                yield LogKey(*map(int, numbers))

    def end(self, key: LogKey) -> None:
        """No more will come, whatever its runner has not sent."""
        with suppress(FileNotFoundError), exclusive(self._live(key)) as writer:
            writer.finish()

    def remove_stage(self, stage: int) -> None:
        """Remove all logs of a Stage."""
        shutil.rmtree(self._folder / str(stage), ignore_errors=True)
        for key in self.growing(stage):
            shutil.rmtree(self._live(key), ignore_errors=True)

    def _live(self, key: LogKey) -> Path:
        return self._folder / GROWING / f"{key.stage}.{key.attempt}.{key.step}"

    def _archive(self, key: LogKey) -> Path:
        return self._folder / str(key.stage) / f"{key.attempt}.{key.step}.log.zst"
