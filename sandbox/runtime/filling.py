"""Fills a new volume with what the image has at the place where it is mounted, as docker does.

Called by init, as root of the container's user namespace and before any program of the image runs: owners come out
right by themselves, and nothing can be reached but the container's own root. Contents, owners, modes, times, links,
fifos and extended attributes are copied; device nodes, which open nothing in a container, are not.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.kernel import paths

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 24
# What a volume's file system may refuse to keep, and a copy can do without.
_UNKEPT = (errno.EOPNOTSUPP, errno.EPERM, errno.EINVAL, errno.ENODATA)


def fill(root: paths.Root, target: str, volume: int) -> None:
    """Copy the directory `target` of the image, if there is one, into the directory `volume`, if it is empty.

    What is mounted there already is not the image's, and is left alone: /sys, say.
    """
    try:
        source = root.open(target, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return
    with _closing(source), _closing(os.open(".", _DIRECTORY, dir_fd=volume)) as destination:
        if os.fstat(source).st_dev == os.fstat(root.fd).st_dev and not os.listdir(destination):
            _copy_directory(source, destination, {})


def _copy_directory(source: int, target: int, links: dict[tuple[int, int], tuple[int, str]]) -> None:
    for name in os.listdir(source):
        found = os.stat(name, dir_fd=source, follow_symlinks=False)
        kind = stat.S_IFMT(found.st_mode)
        if kind == stat.S_IFDIR:
            os.mkdir(name, 0o700, dir_fd=target)
            with (
                _closing(os.open(name, _DIRECTORY, dir_fd=source)) as inner,
                _closing(os.open(name, _DIRECTORY, dir_fd=target)) as made,
            ):
                _copy_directory(inner, made, links)
        elif kind == stat.S_IFREG:
            _copy_file(source, target, name, found, links)
        elif kind == stat.S_IFLNK:
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            os.chown(name, found.st_uid, found.st_gid, dir_fd=target, follow_symlinks=False)
            os.utime(name, ns=(found.st_atime_ns, found.st_mtime_ns), dir_fd=target, follow_symlinks=False)
        elif kind == stat.S_IFIFO:
            os.mkfifo(name, 0o600, dir_fd=target)
            os.chown(name, found.st_uid, found.st_gid, dir_fd=target)
            os.chmod(name, stat.S_IMODE(found.st_mode), dir_fd=target)
    _finish(source, target, os.fstat(source))


def _copy_file(
    source: int, target: int, name: str, found: os.stat_result, links: dict[tuple[int, int], tuple[int, str]]
) -> None:
    inode = (found.st_dev, found.st_ino)
    if found.st_nlink > 1 and inode in links:
        directory, first = links[inode]
        os.link(first, name, src_dir_fd=directory, dst_dir_fd=target, follow_symlinks=False)
        return
    read, create = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with (
        _closing(os.open(name, read, dir_fd=source)) as original,
        _closing(os.open(name, create, 0o600, dir_fd=target)) as copy,
    ):
        _copy_contents(original, copy, found)
        _finish(original, copy, found)
    if found.st_nlink > 1:
        links[inode] = (os.dup(target), name)  # closed with this process, like all others, by its exec


def _copy_contents(original: int, copy: int, found: os.stat_result) -> None:
    """Holes stay holes: an image's file may be larger than the disk."""
    at = 0
    while at < found.st_size:
        try:
            at = os.lseek(original, at, os.SEEK_DATA)
        except OSError:  # ENXIO: only a hole is left
            break
        end = os.lseek(original, at, os.SEEK_HOLE)
        os.lseek(copy, at, os.SEEK_SET)
        while at < end:
            at += os.sendfile(copy, original, at, min(_CHUNK, end - at)) or end - at
    os.ftruncate(copy, found.st_size)


def _finish(source: int, target: int, found: os.stat_result) -> None:
    """Owner, mode, attributes and times, in the order in which none undoes another."""
    os.fchown(target, found.st_uid, found.st_gid)
    os.fchmod(target, stat.S_IMODE(found.st_mode))
    for name in os.listxattr(source):
        if not name.startswith(("trusted.", "user.overlay.")):
            try:
                os.setxattr(target, name, os.getxattr(source, name))
            except OSError as error:
                if error.errno not in _UNKEPT:
                    raise
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))


@contextlib.contextmanager
def _closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)
