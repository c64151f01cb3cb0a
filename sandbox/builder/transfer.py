"""COPY, ADD of files, WORKDIR: the files that an instruction puts into an image, as a layer's entries.

Nothing is written here: `Transfer` is iterated once for the cache key and, on a miss, once more by the store, which
makes the layer of it. Destinations are resolved in the image that is built on, its symbolic links followed inside it.
Source: docker's Dockerfile reference "COPY", and where that is silent BuildKit's copying.
"""

from __future__ import annotations

import os
import posixpath
import stat
from typing import TYPE_CHECKING

from sandbox.builder.modes import change_mode
from sandbox.dockerfile.wildcard import has_wildcard, name_pattern, unescape
from sandbox.errors import NotFoundError
from sandbox.image import attributes
from sandbox.image.tarformat import NO_XATTRS, Kind, TarEntry
from sandbox.image.tree import entry_of
from sandbox.image.whiteout import PREFIX
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sandbox.builder.files import FileView, Item
    from sandbox.dockerfile.ignorefile import IgnorePatterns

    Data = Callable[[], Iterator[bytes | memoryview]]

_CHUNK = 1 << 18
_KINDS = {stat.S_IFLNK: Kind.SYMLINK, stat.S_IFIFO: Kind.FIFO, stat.S_IFCHR: Kind.CHARACTER, stat.S_IFBLK: Kind.BLOCK}


class Owner(NamedTuple):
    """Who the files will belong to."""

    uid: int = 0
    gid: int = 0


class Selected(NamedTuple):
    """A source: its clean path in a view, and its name at the destination where that is a folder.

    `pivot` is the part of the path that `--parents` does not keep. One that `may_be_archive` is unpacked if it is.
    """

    view: FileView
    path: bytes
    name: bytes
    pivot: bytes = b""
    may_be_archive: bool = False


class InlineFile(NamedTuple):
    """A here-document as a source."""

    name: bytes
    content: bytes


class FileContents:
    """The contents of an open file, which can be told by its `status`."""

    __slots__ = ("_fd", "status")

    def __init__(self, fd: int, status: os.stat_result) -> None:
        self._fd = fd
        self.status = status

    def __call__(self) -> Iterator[bytes | memoryview]:
        """Read exactly as many bytes as the status says."""
        return _read(self._fd, self.status.st_size)


class Placing(NamedTuple):
    """Where files go and what they become. `destination` is absolute; with a slash at its end it is a folder.

    `owner` None keeps the source's; what comes out of an archive belongs to `owner_of_archives`. `mode` is
    `--chmod`'s text. `moment` is the time of folders and documents that are made, in nanoseconds.
    """

    destination: str
    owner: Owner | None = None
    owner_of_archives: Owner | None = None
    mode: str = ""
    moment: int = 0
    parents: bool = False
    exclude: IgnorePatterns | None = None


def select(view: FileView, pattern: str, place: str = "the context", *, parents: bool = False) -> list[Selected]:
    """The sources that a pattern means, in order. NotFoundError for a name without wild cards that is not there, and
    for a link that leads to nothing.

    `place` is what the view is called. With `parents` the paths are kept from a pivot `/./` on, and `**` is any number
    of folders.
    """
    before, pivot, after = pattern.partition("/./") if parents else (pattern, "", "")
    found = _matches(view, [b""], before, deep=parents)
    if pivot:
        kept = [(path, one) for path in found for one in _matches(view, [path], after, deep=True)]
    else:
        kept = [(b"", path) for path in found]
    clean = _clean(before + pivot + after)
    result: list[Selected] = []
    for start, path in kept:
        resolved = view.resolve(path)
        if view.status(resolved) is not None:
            below = any(_is_below(resolved, one.path) for one in result) if parents else False
            if not below:
                result.append(Selected(view, resolved, path.rpartition(b"/")[2], view.resolve(start)))
        elif not has_wildcard(clean):
            hint = "is it named in .dockerignore?" if place == "the context" else ""
            raise NotFoundError(f"source {pattern!r} is not in {place}", hint=hint, reference="no-source")
        elif path.rpartition(b"/")[2] in view.names(view.resolve(path.rpartition(b"/")[0])):
            link = os.fsdecode(path)
            raise NotFoundError(f"{link!r}, which {pattern!r} means, is a link to nothing", reference="no-source")
    return result


def _matches(view: FileView, found: list[bytes], pattern: str, *, deep: bool) -> list[bytes]:
    """What a pattern means in each of some folders."""
    parts = _clean(pattern).split("/") if _clean(pattern) else []
    for number, part in enumerate(parts, 1):
        if deep and part == "**":
            if number < len(parts):  # at the end it is the folder with all that is in it
                found = [folder for path in found for folder in _folders_of(view, path)]
        elif has_wildcard(part):
            compiled = name_pattern(part)
            folders = [(path, view.names(view.resolve(path))) for path in found]
            found = [
                _join(path, name) for path, names in folders for name in names if compiled.fullmatch(os.fsdecode(name))
            ]
        else:
            found = [_join(path, os.fsencode(unescape(part))) for path in found]
    return found


def _folders_of(view: FileView, path: bytes) -> list[bytes]:
    """A folder and all folders in it."""
    resolved = view.resolve(path)
    if view.status(resolved) is None:
        return []
    return [
        _join(resolved, item.path) if item.path else resolved
        for item in view.walk(resolved)
        if stat.S_ISDIR(item.status.st_mode)
    ]


def _clean(pattern: str) -> str:
    clean = posixpath.normpath("/" + pattern).lstrip("/")
    return "" if clean == "." else clean


def _is_below(path: bytes, folder: bytes) -> bool:
    return path == folder or path.startswith(folder + b"/" if folder else b"")


class Transfer:
    """The entries of one instruction's layer; `target` is the image that is built on."""

    def __init__(
        self,
        target: FileView,
        selected: Sequence[Selected],
        documents: Sequence[InlineFile],
        placing: Placing,
    ) -> None:
        self._target = target
        self._selected = selected
        self._documents = documents
        self._placing = placing
        self._made: set[bytes] = set()
        self.warnings: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[tuple[TarEntry, Data]]:
        self._made.clear()
        many = len(self._selected) + len(self._documents) > 1
        into = many or self._placing.destination.endswith("/")
        destination = self._target.resolve(os.fsencode(self._placing.destination))
        status = self._target.status(destination)
        into = into or (status is not None and stat.S_ISDIR(status.st_mode))
        for one in self._selected:
            yield from self._one(one, destination, into=into)
        for document in self._documents:
            path = _join(destination, document.name) if into else destination
            yield from self._folders(path.rpartition(b"/")[0])
            mode = self._mode(0o644, directory=False)
            owner = self._placing.owner or Owner()
            entry = TarEntry(path, Kind.FILE, mode, *owner, len(document.content), self._placing.moment)
            yield entry, lambda content=document.content: iter((content,) if content else ())  # type: ignore[misc]

    def _one(self, one: Selected, destination: bytes, *, into: bool) -> Iterator[tuple[TarEntry, Data]]:
        status = one.view.status(one.path)
        directory = status is not None and stat.S_ISDIR(status.st_mode)
        if self._placing.parents:
            kept = one.path[len(one.pivot) :].lstrip(b"/") if _is_below(one.path, one.pivot) else one.path
            base = _join(destination, kept)
            yield from self._parents(one, destination, kept, directory=directory)
        else:
            base = destination if directory or not into else _join(destination, one.name)
        yield from self._folders(base if directory else base.rpartition(b"/")[0])
        for item in one.view.walk(one.path):
            if (directory and not item.path) or self._leaves_out(item, one):
                continue
            path = _join(base, item.path) if item.path else base
            yield from self._entry(path, item)

    def _parents(
        self, one: Selected, destination: bytes, kept: bytes, *, directory: bool
    ) -> Iterator[tuple[TarEntry, Data]]:
        """The folders above a source, and a source that is one, as they are there, as far as the image has none."""
        above = kept.split(b"/") if kept else []
        above = above if directory else above[:-1]
        if above:
            yield from self._folders(destination)
        for length in range(1, len(above) + 1):
            inner = b"/".join(above[:length])
            path = _join(destination, inner)
            status = one.view.status(_join(one.path[: len(one.path) - len(kept)].rstrip(b"/"), inner))
            if status is not None and path not in self._made and self._target.status(path) is None:
                self._made.add(path)
                entry = self._shaped(path, Kind.DIRECTORY, status)
                yield entry._replace(mode=stat.S_IMODE(status.st_mode)), _nothing

    def _leaves_out(self, item: Item, one: Selected) -> bool:
        name = item.name if item.path else one.name
        if name.startswith(PREFIX) or stat.S_ISSOCK(item.status.st_mode):
            return True  # a layer would take the one for a deletion, and the other is nothing without its process
        exclude = self._placing.exclude
        return exclude is not None and exclude.ignores(os.fsdecode(item.path or name))

    def _entry(self, path: bytes, item: Item) -> Iterator[tuple[TarEntry, Data]]:
        status = item.status
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), Kind.FILE)
        if stat.S_ISDIR(status.st_mode):
            self._made.add(path)
            yield self._shaped(path, Kind.DIRECTORY, status), _nothing
        elif kind is not Kind.FILE:
            target = item.target() if kind is Kind.SYMLINK else b""
            yield self._shaped(path, kind, status, target=target), _nothing
        else:
            fd = item.open()
            try:
                status = os.fstat(fd)
                xattrs = attributes.read_open(fd)
                entry = self._shaped(path, Kind.FILE, status, size=status.st_size, xattrs=xattrs)
                yield entry, FileContents(fd, status)
            finally:
                os.close(fd)

    def _shaped(
        self,
        path: bytes,
        kind: Kind,
        status: os.stat_result,
        *,
        size: int = 0,
        target: bytes = b"",
        xattrs: Mapping[bytes, bytes] = NO_XATTRS,
    ) -> TarEntry:
        entry = entry_of(path, kind, status, size=size, target=target, xattrs=xattrs)
        if kind is not Kind.SYMLINK:
            entry = entry._replace(mode=self._mode(entry.mode, directory=kind is Kind.DIRECTORY))
        return (
            entry
            if self._placing.owner is None
            else entry._replace(uid=self._placing.owner.uid, gid=self._placing.owner.gid)
        )

    def _mode(self, mode: int, *, directory: bool) -> int:
        return change_mode(self._placing.mode, mode, directory=directory) if self._placing.mode else mode

    def _folders(self, path: bytes) -> Iterator[tuple[TarEntry, Data]]:
        """A folder and those above it, as far as the image has none."""
        parts = path.split(b"/") if path else []
        for length in range(1, len(parts) + 1):
            folder = b"/".join(parts[:length])
            if folder not in self._made and self._target.status(folder) is None:
                self._made.add(folder)
                owner = self._placing.owner or Owner()
                yield TarEntry(folder, Kind.DIRECTORY, 0o755, *owner, 0, self._placing.moment), _nothing


class FolderTransfer(Transfer):
    """WORKDIR: a folder, where the image has none, and those above it."""

    def __init__(self, target: FileView, path: str, owner: Owner, moment: int) -> None:
        super().__init__(target, (), (), Placing(path, owner=owner, moment=moment))

    def __iter__(self) -> Iterator[tuple[TarEntry, Data]]:
        self._made.clear()
        yield from self._folders(self._target.resolve(os.fsencode(self._placing.destination)))


def _nothing() -> Iterator[bytes]:
    return iter(())


def _read(fd: int, size: int) -> Iterator[bytes | memoryview]:
    """Exactly `size` bytes: a file that shrinks meanwhile is filled with zeros, as tar does."""
    position = 0
    while position < size:
        piece = os.pread(fd, min(_CHUNK, size - position), position) or bytes(min(_CHUNK, size - position))
        position += len(piece)
        yield piece


def _join(folder: bytes, name: bytes) -> bytes:
    return folder + b"/" + name if folder and name else folder or name
