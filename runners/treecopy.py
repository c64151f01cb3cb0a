"""A copy of a tree that has everything a build can notice: modes, owners, times, extended attributes, links.

The trees were written by steps and may be changing, so every access is by descriptors and follows no link; pipes,
sockets and devices are left out. Content goes through copy_file_range(2), which shares the blocks where the file system
can (btrfs, XFS). Called for caches and for what steps have changed; `workspace` copies projects, by git's rules.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import NamedTuple

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SOURCE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_TARGET = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ONE_CALL = 1 << 30
_DEPTH_LIMIT = 200  # two descriptors are open for each level


class Size(NamedTuple):
    """Files and links, and the bytes that they take on the disk."""

    files: int
    size: int


def clone(source: int, name: str, target: int, new_name: str, *, depth: int = 0) -> None:
    """Copy `name` of an open folder to `new_name`, which must not be there, of another. Raises OSError."""
    status = os.stat(name, dir_fd=source, follow_symlinks=False)
    if stat.S_ISDIR(status.st_mode):
        _clone_folder(source, name, target, new_name, depth)
    elif stat.S_ISREG(status.st_mode):
        clone_file(source, name, target, new_name)
        return
    elif stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), new_name, dir_fd=target)
        os.chown(new_name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
    else:
        return
    times = (status.st_atime_ns, status.st_mtime_ns)
    os.utime(new_name, ns=times, dir_fd=target, follow_symlinks=False)


def clone_file(source: int, name: str, target: int, new_name: str) -> None:
    """Copy a regular file. One that has become something else meanwhile is left out. Raises OSError."""
    here = os.open(name, _SOURCE, dir_fd=source)
    try:
        status = os.fstat(here)
        if not stat.S_ISREG(status.st_mode):
            return
        there = os.open(new_name, _TARGET, 0o600, dir_fd=target)
        try:
            _copy_content(here, there, status.st_size)
            os.fchown(there, status.st_uid, status.st_gid)
            os.fchmod(there, stat.S_IMODE(status.st_mode))  # after the owner, who takes setuid bits away
            for attribute, value in attributes(here):
                with suppress(OSError):  # an ordinary user may not set all of them
                    os.setxattr(there, attribute, value)
            os.utime(there, ns=(status.st_atime_ns, status.st_mtime_ns))
        finally:
            os.close(there)
    finally:
        os.close(here)


def attributes(descriptor: int) -> list[tuple[str, bytes]]:
    """The extended attributes of an open file, in order; none where the file system has none, or they change now."""
    try:
        return [(name, os.getxattr(descriptor, name)) for name in sorted(os.listxattr(descriptor))]
    except OSError:
        return []


def measure(folder: int, name: str) -> Size:
    """What is below `name` of an open folder, itself included. Raises OSError."""
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISDIR(status.st_mode):
        return Size(1, status.st_blocks * 512)
    files = size = 0
    descriptor = os.open(name, _DIRECTORY, dir_fd=folder)
    try:
        with os.scandir(descriptor) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    below = measure(descriptor, entry.name)
                    files, size = files + below.files, size + below.size
                else:
                    files, size = files + 1, size + entry.stat(follow_symlinks=False).st_blocks * 512
    finally:
        os.close(descriptor)
    return Size(files, size)


def _clone_folder(source: int, name: str, target: int, new_name: str, depth: int) -> None:
    if depth == _DEPTH_LIMIT:
        raise OSError(errno.ENAMETOOLONG, "folders are nested too deep", name)
    here = os.open(name, _DIRECTORY, dir_fd=source)
    try:
        os.mkdir(new_name, 0o700, dir_fd=target)
        there = os.open(new_name, _DIRECTORY, dir_fd=target)
        try:
            with os.scandir(here) as entries:
                names = [entry.name for entry in entries]
            for one in names:
                clone(here, one, there, one, depth=depth + 1)
            status = os.fstat(here)
            os.fchown(there, status.st_uid, status.st_gid)
            os.fchmod(there, stat.S_IMODE(status.st_mode))
        finally:
            os.close(there)
    finally:
        os.close(here)


def _copy_content(source: int, target: int, left: int) -> None:
    try:
        while left > 0 and (copied := os.copy_file_range(source, target, min(left, _ONE_CALL))):
            left -= copied
    except OSError:  # EXDEV, EINVAL, EOPNOTSUPP: these two file systems cannot; nothing was copied then
        while left > 0 and (copied := os.sendfile(target, source, None, min(left, _ONE_CALL))):
            left -= copied
