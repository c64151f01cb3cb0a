"""Removing a tree that somebody else may be changing.

Called by whatever throws away containers' roots, snapshots and half-made things, through `paths`.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from sandbox.errors import InvalidError
from sandbox.kernel.openat import (
    DIRECTORY,
    RESOLVE_BENEATH,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
    openat2,
    own_descriptors,
)

if TYPE_CHECKING:
    from pathlib import Path

_OPEN_LEVELS = 128  # directories held open at once
_RESCANS = 16  # of one directory, when entries keep coming in


class _Level:
    """A directory that `remove_tree` is in: its descriptor (-1 while put away), its name in the one above, what is
    left.
    """

    __slots__ = ("directories", "fd", "identity", "name", "scans")

    def __init__(self, fd: int, name: str) -> None:
        self.fd = fd
        self.name = name
        self.directories = _empty(fd)
        self.identity: tuple[int, int] | None = None
        self.scans = 1

    def put_away(self) -> None:
        """Close the descriptor, and remember which directory it was."""
        if self.fd < 0:
            return
        found = os.fstat(self.fd)
        self.identity = found.st_dev, found.st_ino
        os.close(self.fd)
        self.fd = -1

    def come_back(self, child: int) -> None:
        """Open it again from a directory in it; ESTALE when that one has been moved away meanwhile."""
        if self.fd >= 0:
            return
        flags = os.O_RDONLY | os.O_DIRECTORY
        self.fd = openat2(child, "..", flags, resolve=RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS)
        found = os.fstat(self.fd)
        if (found.st_dev, found.st_ino) != self.identity:
            raise OSError(errno.ESTALE, "moved while it was being removed", self.name)


def remove_tree(dirfd: int, name: str) -> None:
    """Remove `name` in the directory `dirfd`, whatever it is; what is not there is no error.

    No link is followed and no mount entered: a mount point below is EBUSY, so that a forgotten bind mount does not
    cost its source. Directories without permissions are given them (where the kernel lets us). Any depth, any names,
    with a bounded number of descriptors; entries that come and go meanwhile do no harm. Raises `OSError` at the first
    thing that cannot be removed.
    """
    if "/" in name or name in ("", ".", ".."):
        raise InvalidError(f"{name!r} is not a name in a directory")
    top = _enter(dirfd, name, ours=False)
    if top < 0:
        return
    stack = [_Level(top, name)]
    try:
        while stack:
            level = stack[-1]
            if level.directories:
                child = level.directories.pop()
                if _remove_empty(level.fd, child):
                    continue
                fd = _enter(level.fd, child, ours=True)
                if fd >= 0:
                    stack.append(_Level(fd, child))
                    if len(stack) > _OPEN_LEVELS:
                        stack[-_OPEN_LEVELS].put_away()
                continue
            above = dirfd
            if len(stack) > 1:
                stack[-2].come_back(level.fd)
                above = stack[-2].fd
            if _remove_directory(level, above, ours=len(stack) > 1):
                stack.pop()
    finally:
        for level in stack:
            if level.fd >= 0:
                os.close(level.fd)


def remove_path(path: Path) -> None:
    """`remove_tree` of what is at `path`, whose folder is the engine's own. Raises `FileNotFoundError` without that."""
    parent = os.open(path.parent, DIRECTORY)
    try:
        remove_tree(parent, path.name)
    finally:
        os.close(parent)


def _enter(directory: int, name: str, *, ours: bool) -> int:
    """The directory `name`, opened; -1 when it is none, and gone by now."""
    resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    for _ in range(_RESCANS):
        try:
            return openat2(directory, name, flags, resolve=resolve)
        except FileNotFoundError:
            return -1
        except PermissionError:
            handle = openat2(directory, name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, resolve=resolve)
            try:
                with own_descriptors() as descriptors:
                    os.chmod(str(handle), 0o700, dir_fd=descriptors)
            finally:
                os.close(handle)
        except OSError as error:
            if error.errno == errno.EXDEV:
                raise OSError(errno.EBUSY, "a file system is mounted here", name) from None
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            if _unlink(directory, name, ours=ours):
                return -1
    raise OSError(errno.EAGAIN, "keeps changing while it is being removed", name)


def _remove_empty(directory: int, name: str) -> bool:
    """Whether `name` is gone, because it was an empty directory: the most are, and need not be opened."""
    try:
        os.rmdir(name, dir_fd=directory)
    except OSError:  # the long way finds out
        return False
    return True


def _empty(directory: int) -> list[str]:
    """Unlink all but the directories in `directory`; their names."""
    with os.scandir(directory) as entries:
        listed = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    directories = []
    for name, is_directory in listed:
        if is_directory or not _unlink(directory, name, ours=True):
            directories.append(name)
    return directories


def _unlink(directory: int, name: str, *, ours: bool) -> bool:
    """Whether `name` is gone; False for a directory. `ours`: the directory is part of the tree, and may be changed."""
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return True
    except IsADirectoryError:
        return False
    except PermissionError:
        if not ours:
            raise
        os.fchmod(directory, 0o700)
        return _unlink(directory, name, ours=False)
    return True


def _remove_directory(level: _Level, above: int, *, ours: bool) -> bool:
    """Whether the emptied directory is gone; False when new entries came in, which `level` has then.

    Closed first: ext4 removes a directory that somebody holds open in twice the time, by way of its list of orphans.
    """
    if level.fd >= 0:
        os.close(level.fd)
        level.fd = -1
    try:
        os.rmdir(level.name, dir_fd=above)
    except FileNotFoundError:
        return True
    except PermissionError:
        if not ours:
            raise
        os.fchmod(above, 0o700)
        return _remove_directory(level, above, ours=False)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY or level.scans > _RESCANS:
            raise
        level.scans += 1
        level.fd = _enter(above, level.name, ours=ours)
        if level.fd < 0:
            return True
        level.directories = _empty(level.fd)
        return False
    return True
