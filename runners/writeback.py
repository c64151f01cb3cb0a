"""What steps changed in a workspace, written back into the work tree that it is a copy of (`ci-run local --write`).

The workspace is whatever untrusted steps left: every folder on the way is opened without following a link, on both
sides, so that nothing outside of the two trees is read or written. `.git` is never touched (a hook there would run on
the host). A file that somebody has changed in the work tree since it was copied is left as it is.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, NamedTuple

from runners import inventory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from runners.inventory import Changes, Stamp

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SOURCE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_CHUNK = 1 << 20


class Written(NamedTuple):
    """Paths that were written, removed, and left because the work tree's file is not the one that was copied."""

    written: tuple[bytes, ...] = ()
    removed: tuple[bytes, ...] = ()
    left: tuple[bytes, ...] = ()


def write_back(workspace: Path, tree: Path, before: Mapping[bytes, Stamp]) -> Written:
    """Bring the differences between `workspace` now and `before`, its inventory when it was fresh, into `tree`.

    Raises OSError where the tree cannot be written.
    """
    changes = inventory.changes(before, inventory.inventory(workspace))
    return _Writing(workspace, tree, lambda path, now: _is_as_copied(before.get(path), now)).all(changes)


def place(source: Path, target: Path, paths: Iterable[bytes]) -> Written:
    """Copy files of one tree to the same paths of another, over what is there. Raises OSError."""
    return _Writing(source, target, lambda _, __: True).all(inventory.Changes(tuple(paths), ()))


def _is_as_copied(before: Stamp | None, now: os.stat_result) -> bool:
    """Whether a file of the work tree is the one that the workspace has a copy of."""
    return before is not None and (now.st_size, now.st_mtime_ns) == (before.size, before.modified)


class _Writing:
    def __init__(self, workspace: Path, tree: Path, may_replace: Callable[[bytes, os.stat_result], bool]) -> None:
        self._workspace = workspace
        self._tree = tree
        self._may_replace = may_replace

    def all(self, changes: Changes) -> Written:
        written: list[bytes] = []
        removed: list[bytes] = []
        left: list[bytes] = []
        for path in changes.removed:  # first: a file may have become a folder
            (removed if self._remove(path) else left).append(path)
        for path in changes.changed:
            (written if self._write(path) else left).append(path)
        return Written(tuple(written), tuple(removed), tuple(left))

    def _remove(self, path: bytes) -> bool:
        folder, name = os.path.split(path)
        with ExitStack() as stack:
            there = _descend(self._tree, folder, stack, make=False)
            if there < 0:
                return True
            if not self._is_free(path, name, there):
                return False
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=there)
            return True

    def _write(self, path: bytes) -> bool:
        folder, name = os.path.split(path)
        with ExitStack() as stack:
            here = _descend(self._workspace, folder, stack, make=False)
            there = _descend(self._tree, folder, stack, make=True)
            if here < 0 or there < 0 or not self._is_free(path, name, there):
                return False
            temporary = b".hako-" + os.urandom(6).hex().encode()
            try:
                if not _copy(name, here, temporary, there):
                    return False
                _give(temporary, name, there)
                os.rename(temporary, name, src_dir_fd=there, dst_dir_fd=there)
            except IsADirectoryError:
                return False
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=there)
            return True

    def _is_free(self, path: bytes, name: bytes, there: int) -> bool:
        """Whether nothing is lost by writing to, or removing, this place."""
        try:
            now = os.stat(name, dir_fd=there, follow_symlinks=False)
        except FileNotFoundError:
            return True
        return self._may_replace(path, now)


def _descend(top: Path, folder: bytes, stack: ExitStack, *, make: bool) -> int:
    """The folder's descriptor, closed with the stack; -1 where it is not there, or something else is on the way."""
    descriptor = os.open(top, _DIRECTORY)
    stack.callback(os.close, descriptor)
    for name in folder.split(b"/") if folder else ():
        try:
            below = os.open(name, _DIRECTORY, dir_fd=descriptor)
        except FileNotFoundError:
            if not make:
                return -1
            os.mkdir(name, 0o777, dir_fd=descriptor)
            owner = os.fstat(descriptor)
            below = os.open(name, _DIRECTORY, dir_fd=descriptor)
            _chown(below, owner)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                return -1
            raise
        stack.callback(os.close, below)
        descriptor = below
    return descriptor


def _copy(name: bytes, here: int, temporary: bytes, there: int) -> bool:
    """A regular file or link of the workspace under a new name in the work tree; whether it was one still."""
    status = os.stat(name, dir_fd=here, follow_symlinks=False)
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(name, dir_fd=here), temporary, dir_fd=there)
        return True
    source = os.open(name, _SOURCE, dir_fd=here)
    try:
        if not stat.S_ISREG(os.fstat(source).st_mode):
            return False
        mode = stat.S_IMODE(status.st_mode) & 0o777
        target = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode, dir_fd=there)
        try:
            while os.sendfile(target, source, None, _CHUNK):
                pass
            os.fchmod(target, mode)
        finally:
            os.close(target)
    finally:
        os.close(source)
    return True


def _give(temporary: bytes, name: bytes, folder: int) -> None:
    """Who had the old file, or has the folder, gets the new one: root may be at work in somebody else's project."""
    try:
        owner = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        owner = os.fstat(folder)
    with suppress(PermissionError):
        os.chown(temporary, owner.st_uid, owner.st_gid, dir_fd=folder, follow_symlinks=False)


def _chown(descriptor: int, owner: os.stat_result) -> None:
    with suppress(PermissionError):
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
