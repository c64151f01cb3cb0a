"""Half-made things: directories and files below `$HAKO_HOME/tmp` that are garbage unless somebody holds their lock.

Everything the image store makes is made here and renamed into place. A process that dies leaves its entry without a
lock, and `reclaim` deletes it. The entry is locked after it is made, so both sides check that the thing they locked is
still what the name says.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Self

PREFIX = "image-"
_OUTSIDE = "outside-"


class Scratch:
    """`with Scratch(home) as path:` a fresh directory (mode 0700), deleted at the end if it is still there."""

    def __init__(self, home: Path) -> None:
        self._tmp = home / "tmp"
        self._fd = -1
        self.path = self._tmp

    def __enter__(self) -> Self:
        make_directory(self._tmp)
        while True:
            self.path = self._tmp / _fresh_name()
            self.path.mkdir(mode=0o700)
            if (fd := _lock(self.path, wait=True)) is not None:
                self._fd = fd
                return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            _remove(self.path)
        finally:
            os.close(self._fd)


class Outside:
    """`with Outside(home) as path:` the same in /tmp, for a program that works with other ids than the directory's
    owner: they may pass through, and nobody may look. A link in the state directory's `tmp` leads there.
    """

    def __init__(self, home: Path) -> None:
        name = os.urandom(8).hex()
        self._record = home / "tmp" / f"{_OUTSIDE}{name}"
        self._fd = -1
        self.path = Path("/tmp", f"hako-{name}")  # noqa: S108  (a name that nobody can foresee, made by mkdir)

    def __enter__(self) -> Path:
        make_directory(self._record.parent)
        self._record.symlink_to(self.path)
        self.path.mkdir(mode=0o711)
        self.path.chmod(0o711)  # whatever the umask
        fd = _lock(self.path, wait=True)
        if fd is None:  # a `reclaim` was faster
            return self.__enter__()
        self._fd = fd
        return self.path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            _remove_outside(self._record)
        finally:
            os.close(self._fd)


def write(home: Path, destination: Path, data: bytes, *, durable: bool = True) -> None:
    """Put a file in place, whole or not at all, replacing what is there. A `durable` one is on the disk before it has
    its name; of another a power loss may leave an empty file.
    """
    tmp = home / "tmp"
    make_directory(tmp)
    while True:
        path = tmp / _fresh_name()
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if not _is_still(fd, path):
                continue
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(fd, view) :]
                if durable:
                    os.fsync(fd)
                try:
                    path.rename(destination)
                except FileNotFoundError:
                    make_directory(destination.parent)
                    path.rename(destination)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
            return
        finally:
            os.close(fd)


@contextmanager
def alone(home: Path, name: str, lock: Callable[[int], object]) -> Iterator[None]:
    """Do something in the block that nobody else does meanwhile under this name, in whatever thread or process.

    `lock` waits until it has the flock(2) of a descriptor.
    """
    path = home / "tmp" / f"{PREFIX}{name}"
    make_directory(path.parent)
    while True:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            lock(fd)
            if _is_still(fd, path):  # else it is gone with who had it
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)
                return
        finally:
            os.close(fd)


def reclaim(home: Path) -> int:
    """Delete what dead processes left; returns how many entries. Safe beside any number of living ones."""
    count = 0
    tmp = home / "tmp"
    try:
        paths = tuple(tmp.iterdir())
    except FileNotFoundError:
        return 0
    for path in paths:
        if path.name.startswith(_OUTSIDE):
            count += _reclaim_outside(path)
            continue
        if not path.name.startswith(PREFIX):
            continue
        fd = _lock(path, wait=False)
        if fd is None:
            continue
        try:
            _remove(path)
            count += 1
        finally:
            os.close(fd)
    return count


def _reclaim_outside(record: Path) -> int:
    target = record.readlink()
    fd = _lock(target, wait=False)
    if fd is None and target.exists():  # somebody's who lives
        return 0
    try:
        return _remove_outside(record)
    finally:
        if fd is not None:
            os.close(fd)


def _remove_outside(record: Path) -> int:
    """The directory and then its record; whether that is done. It is not while files of ids are left that this process
    is not root of, nor done to a directory that somebody else has put there.
    """
    target = record.readlink()
    try:
        if target.lstat().st_uid == os.geteuid():
            _remove(target)
    except FileNotFoundError:
        pass
    except OSError:
        return 0
    record.unlink(missing_ok=True)
    return 1


def _fresh_name() -> str:
    return PREFIX + os.urandom(8).hex()


def make_directory(path: Path) -> None:
    """Make a directory of the store, and `$HAKO_HOME` itself, for nobody else to enter; fine if it is there.

    `Path.mkdir(parents=True)` would make the parents with the umask's mode: set-uid programs inside layers would be
    within reach of every user of the host (CVE-2021-41091).
    """
    try:
        path.mkdir(mode=0o700)
    except FileNotFoundError:
        make_directory(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
    except FileExistsError:
        pass


def _lock(path: Path, *, wait: bool) -> int | None:
    """The locked descriptor of a scratch entry; `None` when it is gone, or another's."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    if not _is_still(fd, path):
        os.close(fd)
        return None
    return fd


def _is_still(fd: int, path: Path) -> bool:
    try:
        there = os.lstat(path)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(fd), there)


def _remove(path: Path) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        path.unlink()
        return
    from sandbox.kernel.paths import remove_path  # noqa: PLC0415

    remove_path(path)
