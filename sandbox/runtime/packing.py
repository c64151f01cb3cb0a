"""A file or a directory tree as a tar stream, for `cp`: read below a root that somebody else may be changing.

Runs in a process that has entered the container (`inside`), and for a path of the caller's on the host. Everything is
reached from descriptors: the first place by openat2 in the root, what is below it name by name and without following a
link, so that a name swapped meanwhile (CVE-2018-15664) leads nowhere else. Imports nothing while it works.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from sandbox.errors import NotFoundError
from sandbox.image import attributes
from sandbox.image.tarformat import Kind, TarEntry
from sandbox.image.tarwriter import TarWriter
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sandbox.kernel.paths import Root

_CHUNK = 1 << 18
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS = {stat.S_IFLNK: Kind.SYMLINK, stat.S_IFIFO: Kind.FIFO, stat.S_IFCHR: Kind.CHARACTER, stat.S_IFBLK: Kind.BLOCK}


class Found(NamedTuple):
    """What is at a path; `kind` is file, directory, link, other or missing. Time in nanoseconds since 1970."""

    kind: str
    mode: int = 0
    size: int = 0
    time: int = 0
    target: str = ""


def look(root: Root, path: str, *, follow: bool) -> Found:
    """What is at `path` in the root; a link in the last place itself, unless `follow`."""
    try:
        descriptor = root.open(path, os.O_PATH, follow_final=follow)
    except (FileNotFoundError, NotADirectoryError):
        return Found("missing")
    try:
        status = os.fstat(descriptor)
        names = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}
        kind = names.get(stat.S_IFMT(status.st_mode), "other")
        target = os.readlink("", dir_fd=descriptor) if kind == "link" else ""
        return Found(kind, status.st_mode, status.st_size, status.st_mtime_ns, target)
    finally:
        os.close(descriptor)


def pack(root: Root, path: str, name: str, write: Callable[[bytes | memoryview], object], *, follow: bool) -> None:
    """Write what is at `path` as an archive whose entries begin with `name`; an empty one leaves the directory itself
    out. Raises NotFoundError.
    """
    writer = TarWriter(write)
    packing = _Packing(writer)
    try:
        held = root.open(path, os.O_PATH, follow_final=follow)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"no such file or directory: {path}", reference="no-such-path") from None
    try:
        status = os.fstat(held)
        top = os.fsencode(name)
        if stat.S_ISDIR(status.st_mode):
            directory = root.open(path, os.O_RDONLY | os.O_DIRECTORY, follow_final=follow)
            try:
                packing.directory(directory, top)
            finally:
                os.close(directory)
        elif stat.S_ISREG(status.st_mode):
            file = root.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY, follow_final=follow)
            packing.file(file, top)
        else:
            target = os.fsencode(os.readlink("", dir_fd=held)) if stat.S_ISLNK(status.st_mode) else b""
            packing.other(status, top, target)
    finally:
        os.close(held)
    writer.close()


class _Packing:
    def __init__(self, writer: TarWriter) -> None:
        self._writer = writer
        self._links: dict[tuple[int, int], bytes] = {}  # inodes with several names, by the first one met

    def directory(self, directory: int, name: bytes) -> None:
        """A directory that is open, and all below it."""
        if name:
            entry = _entry(os.fstat(directory), name, Kind.DIRECTORY)
            self._writer.add(entry._replace(xattrs=attributes.read_open(directory)))
        for inner in sorted(os.listdir(directory)):
            path = name + b"/" + os.fsencode(inner) if name else os.fsencode(inner)
            try:
                self._below(directory, inner, path)
            except FileNotFoundError:  # removed meanwhile
                continue

    def _below(self, directory: int, name: str, path: bytes) -> None:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFDIR:
            inner = os.open(name, _DIRECTORY, dir_fd=directory)
            try:
                self.directory(inner, path)
            finally:
                os.close(inner)
        elif kind == stat.S_IFREG:
            self.file(os.open(name, _READ, dir_fd=directory), path)
        else:
            target = os.fsencode(os.readlink(name, dir_fd=directory)) if kind == stat.S_IFLNK else b""
            self.other(status, path, target)

    def file(self, file: int, name: bytes) -> None:
        """A file that is open; it is closed here."""
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):  # swapped for something else
                return
            inode = (status.st_dev, status.st_ino)
            if status.st_nlink > 1 and inode in self._links:
                self._writer.add(_entry(status, name, Kind.LINK)._replace(target=self._links[inode], size=0))
                return
            self._links[inode] = name
            entry = _entry(status, name, Kind.FILE)._replace(xattrs=attributes.read_open(file))
            self._writer.add(entry, _contents(file, status.st_size))
        finally:
            os.close(file)

    def other(self, status: os.stat_result, name: bytes, target: bytes) -> None:
        """A link, fifo or device; a socket has no place in an archive."""
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is not None:
            self._writer.add(_entry(status, name, kind)._replace(target=target, size=0))


def _entry(status: os.stat_result, name: bytes, kind: Kind) -> TarEntry:
    return TarEntry(
        name=name,
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        size=status.st_size if kind is Kind.FILE else 0,
        mtime=status.st_mtime_ns,
        major=os.major(status.st_rdev) if kind in (Kind.CHARACTER, Kind.BLOCK) else 0,
        minor=os.minor(status.st_rdev) if kind in (Kind.CHARACTER, Kind.BLOCK) else 0,
    )


def _contents(file: int, size: int) -> Iterator[bytes]:
    """Exactly `size` bytes, as the header says, whatever happens to the file meanwhile."""
    while size > 0:
        piece = os.read(file, min(size, _CHUNK))
        if not piece:
            piece = bytes(min(size, _CHUNK))
        size -= len(piece)
        yield piece
