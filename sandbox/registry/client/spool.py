"""Blobs on their way into the store: `images/downloads/<hex>`, compressed as they came, shared by all who want one.

    <hex>.part   not whole yet; who writes it holds its lock. Left by a killed one, the next goes on where it ended
    <hex>.turn   empty; locked by who pulls the image with that manifest, for which others wait
    <hex>        whole, and compared with its digest; who reads it shares its lock, and the last one deletes it

So a blob that a hundred processes want at once is fetched by one of them. Locks are flock(2), and held only while
something comes from the network: nobody waits for anything else with one in his hands.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from sandbox.image.scratch import make_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sandbox.image.digest import Digest

KEPT = 24 * 3600.0  # seconds for which the next pull may go on with what a killed one has left
_PART = ".part"
_LONGEST = 0.2  # seconds between two looks at a lock
_SHORTEST = 0.01


class Place(NamedTuple):
    """An open file of the spool; `whole` or to be written on."""

    fd: int
    whole: bool


class Spool:
    """The downloads of one `$HAKO_HOME`."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "images" / "downloads"

    @contextmanager
    def turn(self, manifest: Digest, waiting: Callable[[], None]) -> Iterator[None]:
        """Pull the image of a manifest, when nobody else does. `waiting` is called before it takes long."""
        self._make()
        path = self._path(manifest, ".turn")
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    waiting()
                    fcntl.flock(fd, fcntl.LOCK_EX)
                if _is_still(fd, path):
                    yield
                    return
            finally:
                os.close(fd)

    def open(self, digest: Digest, wanted: Callable[[], bool]) -> Place | None:
        """The blob's file, as soon as nobody else writes it; None when it is not `wanted` any more."""
        self._make()
        pause = _SHORTEST
        while wanted():
            place = self._whole(digest) or self._part(digest)
            if place is not None:
                return place
            time.sleep(pause)
            pause = min(_LONGEST, pause * 1.5)
        return None

    def keep(self, digest: Digest, place: Place) -> Place:
        """The file is whole: everybody may read it."""
        self._path(digest, _PART).rename(self._path(digest))
        fcntl.flock(place.fd, fcntl.LOCK_SH)
        return Place(place.fd, whole=True)

    def discard(self, digest: Digest, place: Place) -> None:
        """What was written is wrong: nobody goes on with it."""
        self._path(digest, "" if place.whole else _PART).unlink(missing_ok=True)
        os.close(place.fd)

    def release(self, digest: Digest, place: Place) -> None:
        """It has been read, or is left to be finished by another; the last reader deletes a whole one."""
        try:
            if place.whole:
                with suppress(BlockingIOError):
                    fcntl.flock(place.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if _is_still(place.fd, self._path(digest)):
                        self._path(digest).unlink(missing_ok=True)
        finally:
            os.close(place.fd)

    def reclaim(self, age: float = KEPT) -> int:
        """Delete what nobody works on, and nobody has for `age` seconds. Returns bytes."""
        freed = 0
        try:
            paths = tuple(self._folder.iterdir())
        except FileNotFoundError:
            return 0
        for path in paths:
            with suppress(FileNotFoundError, BlockingIOError):
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    status = os.fstat(fd)
                    if time.time() - status.st_mtime >= age and _is_still(fd, path):
                        path.unlink()
                        freed += status.st_size
                finally:
                    os.close(fd)
        return freed

    def _make(self) -> None:
        make_directory(self._folder.parent)
        make_directory(self._folder)

    def _whole(self, digest: Digest) -> Place | None:
        path = self._path(digest)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        return self._locked(fd, path, fcntl.LOCK_SH, whole=True)

    def _part(self, digest: Digest) -> Place | None:
        path = self._path(digest, _PART)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        return self._locked(fd, path, fcntl.LOCK_EX, whole=False)

    def _locked(self, fd: int, path: Path, kind: int, *, whole: bool) -> Place | None:
        """The file with its lock, unless that is another's, or the file is no longer the one of that name."""
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
            if _is_still(fd, path):
                return Place(fd, whole)
        except BlockingIOError:
            pass
        os.close(fd)
        return None

    def _path(self, digest: Digest, end: str = "") -> Path:
        return self._folder / f"{digest.hex}{end}"


def _is_still(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except FileNotFoundError:
        return False
