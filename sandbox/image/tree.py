"""The files of one layer, or of several seen as one, as the entries of an archive.

Packing (`commit`, the builder) reads one overlay upper directory: what overlay means by a character device 0:0 and by
its opaque attribute becomes `.wh.` entries. Exporting reads several layers, topmost first, as overlay would show them:
no mount is needed for it, and so no right to mount. A container may be at work in the tree meanwhile: nothing is
followed, each name is opened once, and what it then is counts (CVE-2018-15664).
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Protocol

from sandbox.image import attributes, whiteout
from sandbox.image.tarformat import NO_XATTRS, Kind, TarEntry
from sandbox.kernel.paths import Root
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    Data = Callable[[], Iterator[bytes]]
    # name -> the topmost layer that has it, and what it is; nothing of a regular file, which is asked when it is open
    _Found = dict[str, tuple[int, os.stat_result | None]]

_CHUNK = 1 << 18
_SPARSE_FROM = 1 << 16  # bytes; smaller files are written whole
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_KINDS = {stat.S_IFLNK: Kind.SYMLINK, stat.S_IFIFO: Kind.FIFO, stat.S_IFCHR: Kind.CHARACTER, stat.S_IFBLK: Kind.BLOCK}


class _Folder(NamedTuple):
    """A directory still to be listed, and the layers that have a part in it, topmost first.

    `closed`: one of several layers says that those below have none.
    """

    path: bytes
    layers: tuple[int, ...]
    closed: bool = False


def _no_data() -> Iterator[bytes]:
    return iter(())


class Entries(Protocol):
    """Files that a layer can be made of, in the order of its archive; iterated once. The builder has others
    than `Tree`.

    `warnings`: what cannot be said in a layer, one sentence each, known at the end.
    """

    warnings: tuple[str, ...]

    def __iter__(self) -> Iterator[tuple[TarEntry, Callable[[], Iterator[bytes | memoryview]]]]: ...


class Tree:
    """`for entry, data in Tree(paths, opaque):`; call `data()` for a file's contents before going on to the next.

    Parents come before what is in them, names in order, the root itself not at all. `opaque` is overlay's attribute.
    With `whiteouts` what is deleted from layers further below is shown as `.wh.` entries. `leave_out` are paths that
    are not shown.
    """

    def __init__(
        self, paths: Iterable[Path], opaque: str, *, whiteouts: bool = False, leave_out: Collection[bytes] = ()
    ) -> None:
        self._paths = tuple(paths)
        self._opaque = opaque
        self._whiteouts = whiteouts
        self._leave_out = leave_out
        self._links: dict[tuple[int, int], bytes] = {}
        self.warnings: tuple[str, ...] = ()  # what cannot be said in a layer, one sentence each

    def __iter__(self) -> Iterator[tuple[TarEntry, Data]]:
        roots: list[Root] = []
        try:
            for path in self._paths:
                roots.append(Root(path))
            stack = [_Folder(b"", tuple(range(len(roots))))]
            while stack:
                yield from self._list(roots, stack.pop(), stack)
        finally:
            for root in roots:
                root.close()

    def _list(self, roots: list[Root], folder: _Folder, stack: list[_Folder]) -> Iterator[tuple[TarEntry, Data]]:
        """A directory and what is in it; directories in it go on the stack.

        So all that is below a directory follows it at once, as tar wants it to give directories their times.
        """
        opened: list[int] = []
        found: _Found = {}
        below: dict[str, list[int]] = {}  # directories -> the layers that have a part in them
        closed: set[str] = set()  # names that hide whatever lower layers have
        try:
            for index in folder.layers:
                try:
                    flags = os.O_RDONLY | os.O_DIRECTORY
                    fd = roots[index].open(folder.path or b".", flags, follow_final=False)
                except (FileNotFoundError, NotADirectoryError):  # a container is at work there
                    if not opened:
                        return
                    continue
                opened.append(fd)
                self._merge(fd, index, len(opened) - 1, found, below, closed)
            if folder.path:
                yield from self._directory(opened[0], folder)
            prefix = folder.path + b"/" if folder.path else b""
            inner: list[_Folder] = []
            for name in sorted(found):
                place, status = found[name]
                base = os.fsencode(name)
                path = prefix + base
                if path in self._leave_out or (self._whiteouts and self._is_unsayable(base)):
                    continue
                if name in below:
                    inner.append(_Folder(path, tuple(below[name]), name in closed))
                else:
                    yield from self._entries(opened[place], base, path, status)
            stack += reversed(inner)
        finally:
            for fd in opened:
                os.close(fd)

    def _is_unsayable(self, base: bytes) -> bool:
        """A file that a container has called `.wh.x` would delete `x` in everybody's eyes."""
        if not base.startswith(whiteout.PREFIX):
            return False
        self.warnings = ("files whose names begin with .wh. are left out: in a layer they would delete others",)
        return True

    def _merge(
        self,
        fd: int,
        index: int,
        place: int,
        found: _Found,
        below: dict[str, list[int]],
        closed: set[str],
    ) -> None:
        """Add what one layer has in a directory to what is above it."""
        with os.scandir(fd) as listed:
            for item in listed:
                name = item.name
                if name in closed:
                    continue
                status = None
                if not item.is_file(follow_symlinks=False):  # what the listing says, without a look at each file
                    try:
                        status = item.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                is_directory = status is not None and stat.S_ISDIR(status.st_mode)
                if name not in found:
                    if status is not None and whiteout.is_whiteout(status) and not self._whiteouts:
                        closed.add(name)
                        continue
                    found[name] = (place, status)
                    if is_directory:
                        below[name] = [index]
                elif is_directory:
                    below[name].append(index)
                if not is_directory or (len(self._paths) > 1 and self._is_opaque(fd, name)):
                    closed.add(name)

    def _entries(
        self, directory: int, base: bytes, path: bytes, status: os.stat_result | None
    ) -> Iterator[tuple[TarEntry, Data]]:
        if status is None:
            yield from self._file(directory, base, path)
        elif whiteout.is_whiteout(status):
            parent, slash, _ = path.rpartition(b"/")
            yield TarEntry(parent + slash + whiteout.PREFIX + base, mtime=status.st_mtime_ns), _no_data
        else:
            yield from self._special(directory, base, path, status)

    def _directory(self, fd: int, folder: _Folder) -> Iterator[tuple[TarEntry, Data]]:
        status = os.fstat(fd)
        yield entry_of(folder.path, Kind.DIRECTORY, status, xattrs=attributes.read_open(fd)), _no_data
        if self._whiteouts and (folder.closed or _has_attribute(fd, self._opaque)):
            yield TarEntry(folder.path + b"/" + whiteout.OPAQUE, mtime=status.st_mtime_ns), _no_data

    def _file(self, directory: int, base: bytes, path: bytes) -> Iterator[tuple[TarEntry, Data]]:
        try:
            fd = os.open(base, _OPEN, dir_fd=directory)
        except OSError:  # gone, or no file any more
            return
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                return
            first = self._first_link(path, status)
            if first is not None:
                yield entry_of(path, Kind.LINK, status, target=first), _no_data
                return
            size = status.st_size
            segments = None
            if size >= _SPARSE_FROM and status.st_blocks * 512 < size:
                segments = _segments(fd, size)
            entry = entry_of(path, Kind.FILE, status, size=size, segments=segments, xattrs=attributes.read_open(fd))
            whole = ((0, size),) if size else ()
            yield entry, lambda: _read(fd, whole if segments is None else segments)
        finally:
            os.close(fd)

    def _special(
        self, directory: int, base: bytes, path: bytes, status: os.stat_result
    ) -> Iterator[tuple[TarEntry, Data]]:
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is None:  # a socket is nothing without its process
            return
        first = self._first_link(path, status)
        if first is not None:
            yield entry_of(path, Kind.LINK, status, target=first), _no_data
            return
        target = b""
        if kind is Kind.SYMLINK:
            try:
                target = os.readlink(base, dir_fd=directory)
            except OSError:
                return
        yield entry_of(path, kind, status, target=target), _no_data

    def _first_link(self, path: bytes, status: os.stat_result) -> bytes | None:
        """The name under which the same file was shown before; this one is remembered otherwise."""
        if status.st_nlink < 2:
            return None
        key = (status.st_dev, status.st_ino)
        first = self._links.get(key)
        if first is None:
            self._links[key] = path
        return first

    def _is_opaque(self, directory: int, name: str) -> bool:
        try:
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        except OSError:
            return False
        try:
            return _has_attribute(fd, self._opaque)
        finally:
            os.close(fd)


def _has_attribute(fd: int, name: str) -> bool:
    try:
        return os.getxattr(fd, name) == whiteout.OPAQUE_VALUE
    except OSError:
        return False


def entry_of(
    path: bytes,
    kind: Kind,
    status: os.stat_result,
    *,
    size: int = 0,
    target: bytes = b"",
    xattrs: Mapping[bytes, bytes] = NO_XATTRS,
    segments: tuple[tuple[int, int], ...] | None = None,
) -> TarEntry:
    """An object of a tree as an entry of a layer, by its `status`."""
    major = minor = 0
    if kind in (Kind.CHARACTER, Kind.BLOCK):
        major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
    return TarEntry(
        path,
        kind,
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        size,
        status.st_mtime_ns,
        target,
        major,
        minor,
        xattrs,
        segments,
    )


def _segments(fd: int, size: int) -> tuple[tuple[int, int], ...] | None:
    """Where the data of a file with holes are; `None` where the file system does not say."""
    found: list[tuple[int, int]] = []
    position = 0
    try:
        while position < size:
            try:
                start = os.lseek(fd, position, os.SEEK_DATA)
            except OSError:  # ENXIO: only a hole is left
                break
            position = min(os.lseek(fd, start, os.SEEK_HOLE), size)
            found.append((start, position - start))
    except OSError:
        return None
    if found == [(0, size)] or any(start % 512 for start, _ in found):
        return None
    return tuple(found)


def _read(fd: int, segments: Iterable[tuple[int, int]]) -> Iterator[bytes]:
    """The contents, as long as they were when they were measured: a file that shrinks meanwhile ends in zeros."""
    for offset, length in segments:
        position, end = offset, offset + length
        while position < end:
            wanted = min(_CHUNK, end - position)
            piece = os.pread(fd, wanted, position) or bytes(wanted)
            position += len(piece)
            yield piece
