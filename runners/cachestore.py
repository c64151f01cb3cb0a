"""The caches of steps on this machine: folders by project and key, that any run may read, replace or remove.

`$HAKO_HOME/stepcaches/<project>/<key>/` is an entry: `entry.json` says what it is, and `0`, `1`, … are the paths
that it keeps. An entry never changes: it is made in `$HAKO_HOME/tmp/cache-…` and renamed to its place, one that is
replaced is renamed away. Whoever reads one holds its lock (flock, shared), which goes with the folder; whoever removes
one needs it alone, and leaves it to the next `reclaim` otherwise. So no run waits for another, and none sees half of an
entry. Nobody waits for the disk either: until it has an entry, a link `unsettled` in that says in which boot it was
made, and after a power loss it counts for none.

What was used longest ago goes when all together are more than a limit. Used by `runners.caching`,
`runners.remembering` (with a folder of its own) and `ci-run cache`.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runners import folderlock
from sandbox.kernel import process
from sandbox.kernel.paths import remove_path
from sandbox.kernel.writeback import write_behind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

FOLDER = "stepcaches"
PREFIX = "cache-"
LIMIT = 10 << 30  # bytes of all entries, where nobody says another
_RECORD = "entry.json"
_UNSETTLED = "unsettled"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry; `size` is in bytes on the disk, `created` and `used` in seconds since 1970."""

    path: Path
    project: str
    key: str
    paths: tuple[str, ...]
    files: int
    size: int
    created: float
    used: float


class CacheStore:
    """All entries below a state directory."""

    def __init__(self, home: Path, *, limit: int = LIMIT, folder: str = FOLDER) -> None:
        self._all = home / folder
        self._tmp = home / "tmp"
        self._limit = limit

    def find(self, project: str, key: str, paths: Sequence[str]) -> Entry | None:
        """The entry of this very key."""
        return _read(self._place(project, key, paths))

    def newest(self, project: str, beginning: str, paths: Sequence[str]) -> Entry | None:
        """Of the entries whose keys begin so, the one that was made last."""
        found = (one for one in self._of(project) if one.key.startswith(beginning) and one.paths == tuple(paths))
        return max(found, key=lambda one: one.created, default=None)

    def all(self) -> tuple[Entry, ...]:
        """Every entry, the one used last first."""
        found = [entry for path in self._places() if (entry := _read(path))]
        return tuple(sorted(found, key=lambda one: -one.used))

    @contextmanager
    def reading(self, entry: Entry) -> Iterator[int]:
        """The entry's folder, open and whole until the end of the block. Raises OSError where it is gone."""
        descriptor = os.open(entry.path, _DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # who removes it has it alone: BlockingIOError
            os.utime(_RECORD, dir_fd=descriptor)
            yield descriptor
        finally:
            os.close(descriptor)

    def add(self, project: str, key: str, paths: Sequence[str], fill: Callable[[int], tuple[int, int]]) -> Entry:
        """Make an entry, in place of one of the same key. Raises OSError.

        `fill` puts the paths, by their numbers, into an open folder and returns how many files and bytes they are.
        """
        self._tmp.mkdir(mode=0o700, parents=True, exist_ok=True)
        half = self._tmp / f"{PREFIX}{os.urandom(6).hex()}"
        half.mkdir(mode=0o700)
        descriptor = folderlock.lock(half, wait=True)
        try:
            files, size = fill(descriptor)
            record = {"project": project, "key": key, "paths": list(paths), "files": files, "size": size}
            (half / _RECORD).write_text(json.dumps(record | {"created": time.time()}), "utf-8")
            (half / _UNSETTLED).symlink_to(process.boot_id())
            place = self._place(project, key, paths)
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._put(half, place)
        finally:
            os.close(descriptor)
            self._discard(half)
        with suppress(FileNotFoundError):  # replaced by another run, and removed
            write_behind(place, [_UNSETTLED])
        self._evict(keep=place)
        return Entry(
            path=place,
            used=time.time(),
            created=time.time(),
            files=files,
            size=size,
            project=project,
            key=key,
            paths=tuple(paths),
        )

    def remove(self, entry: Entry) -> bool:
        """Remove an entry, unless it is being read."""
        return self._remove(entry.path)

    def reclaim(self) -> None:
        """Remove what was replaced while it was read, what runs that were killed have half made, and what a power loss
        may have damaged.
        """
        for path in _folders(self._tmp):
            if path.name.startswith(PREFIX):
                self._discard(path)
        for path in self._places():
            if _read(path) is None:
                self._remove(path, only_damaged=True)

    def prune(self, *, limit: int, before: float = 0.0) -> tuple[Entry, ...]:
        """Remove what was not used since `before`, and then what was used longest ago until the rest is within `limit`;
        what was removed.
        """
        removed, total = [], 0
        for entry in self.all():
            total += entry.size
            if (entry.used < before or total > limit) and self.remove(entry):
                total -= entry.size
                removed.append(entry)
        self.reclaim()
        return tuple(removed)

    def _evict(self, keep: Path) -> None:
        total = 0
        for entry in self.all():
            total += entry.size
            if total > self._limit and entry.path != keep and self.remove(entry):
                total -= entry.size

    def _put(self, half: Path, place: Path) -> None:
        while True:
            try:
                half.rename(place)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            else:
                return
            away = self._tmp / f"{PREFIX}{os.urandom(6).hex()}"
            with suppress(FileNotFoundError):  # another run was quicker
                place.rename(away)
                self._discard(away)

    def _remove(self, path: Path, *, only_damaged: bool = False) -> bool:
        """Remove the entry in a folder if nobody reads it; whether it was removed."""
        descriptor = folderlock.lock(path)
        if descriptor < 0:
            return False
        try:
            if only_damaged and _read(path) is not None:  # another run was quicker
                return False
            away = self._tmp / f"{PREFIX}{os.urandom(6).hex()}"
            self._tmp.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.rename(away)
            remove_path(away)
        finally:
            os.close(descriptor)
        with suppress(OSError):  # it has others
            path.parent.rmdir()
        return True

    def _places(self) -> Iterator[Path]:
        for folder in _folders(self._all):
            yield from _folders(folder)

    def _discard(self, path: Path) -> None:
        descriptor = folderlock.lock(path)
        if descriptor >= 0:
            try:
                remove_path(path)
            finally:
                os.close(descriptor)

    def _of(self, project: str) -> Iterator[Entry]:
        for path in _folders(self._all / _digest(project)[:16]):
            if entry := _read(path):
                yield entry

    def _place(self, project: str, key: str, paths: Sequence[str]) -> Path:
        return self._all / _digest(project)[:16] / _digest("\0".join((key, *paths)))[:32]


def amount(count: int) -> str:
    """Bytes for people, in powers of 1024."""
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} GiB"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(one for one in path.iterdir() if one.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _read(path: Path) -> Entry | None:
    """The entry in a folder; None where there is none, where a power loss may have damaged it, or another run removes
    it at this moment.
    """
    try:
        if _boot_of(path) not in ("", process.boot_id()):
            return None
        file = path / _RECORD
        record = json.loads(file.read_text("utf-8"))
        # The folder's own time changes when its note is taken back.
        return Entry(path=path, used=file.stat().st_mtime, **(record | {"paths": tuple(record["paths"])}))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _boot_of(path: Path) -> str:
    """In which boot an entry was made that may not be on the disk yet; empty for one that is."""
    try:
        return os.readlink(path / _UNSETTLED)  # noqa: PTH115 - as fast as can be: for every entry
    except FileNotFoundError:
        return ""
