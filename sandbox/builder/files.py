"""Files to copy from: a context's directory, or the layers of a stage or image seen as one, without a mount.

A path is resolved name by name with O_NOFOLLOW below the layers' directories; symbolic links are followed inside the
view, so that none leads out of it, whatever a context or an image holds and whoever changes it meanwhile
(CVE-2024-1753, CVE-2018-15664).
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.errors import InvalidError, LimitError, NotFoundError
from sandbox.image import whiteout
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType
    from typing import Self

    from sandbox.dockerfile.ignorefile import IgnorePatterns, Matched

_LINKS_LIMIT = 40  # as the kernel's
_DEPTH_LIMIT = 250  # folders in folders; the kernel's paths end at two thousand
_READ_LIMIT = 1 << 20  # bytes of /etc/passwd
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Item(NamedTuple):
    """What a walk meets. `path` is relative to the walk's root, empty for the root itself.

    `directory` is an open descriptor of the folder that has `name`, good until the next item.
    """

    path: bytes
    status: os.stat_result
    directory: int
    name: bytes

    def open(self) -> int:
        """A regular file's descriptor, to be closed. InvalidError when it is none any more."""
        fd = os.open(self.name, _FILE, dir_fd=self.directory)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise InvalidError(f"{os.fsdecode(self.path or self.name)!r} changed while it was read")
        return fd

    def target(self) -> bytes:
        """What a symbolic link says."""
        return os.readlink(self.name, dir_fd=self.directory)


class FileView:
    """`with FileView(paths, opaque) as view:`, topmost first; `opaque` is overlay's attribute.

    `ignore` are patterns of files that are not there. Paths are bytes, clean and relative; the empty one is the root.
    """

    def __init__(self, paths: Iterable[Path], opaque: str, ignore: IgnorePatterns | None = None) -> None:
        self._paths = tuple(paths)
        self._opaque = opaque
        self._ignore = ignore
        self._roots: list[int] = []

    def __enter__(self) -> Self:
        self._roots = [os.open(path, _DIRECTORY) for path in self._paths]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for fd in self._roots:
            os.close(fd)

    def resolve(self, path: bytes, *, follow: bool = True) -> bytes:
        """The clean path after symbolic links; of what does not exist, as far as it does. `..` stops at the root.

        With `follow` false a link at the end stays. InvalidError for a loop.
        """
        waiting = _parts(path)[::-1]
        done: list[bytes] = []
        links = 0
        while waiting:
            part = waiting.pop()
            if part == b"..":
                done = done[:-1]
                continue
            done.append(part)
            target = self._link(b"/".join(done)) if waiting or follow else None
            if target is not None:
                links += 1
                if links > _LINKS_LIMIT:
                    raise InvalidError(f"too many symbolic links in {os.fsdecode(path)!r}")
                done = [] if target.startswith(b"/") else done[:-1]
                waiting += _parts(target)[::-1]
        return b"/".join(done)

    def status(self, path: bytes) -> os.stat_result | None:
        """Of a clean path, links not followed; None where nothing is, or it is ignored."""
        if self._ignores(path):
            return None
        with _Folders(self, path) as found:
            return found.status

    def names(self, path: bytes) -> list[bytes]:
        """What is in a folder, in order; empty where there is none."""
        with _Folders(self, path) as found:
            names = [name for name, _, _ in found.entries()]
        return [name for name in names if not self._ignores(path + b"/" + name if path else name)]

    def alone(self, path: bytes) -> Path | None:
        """Where on the host a clean path's file or folder is, if one directory alone shows it and nothing of it is
        ignored.
        """
        with _Folders(self, path) as found:
            return found.alone() if self._ignore is None else None

    def read(self, path: bytes, *, limit: int = _READ_LIMIT) -> bytes:
        """A regular file as far as `limit`, links followed; empty where there is none."""
        with _Folders(self, self.resolve(path)) as found:
            item = found.item(b"")
            if item is None or not stat.S_ISREG(item.status.st_mode):
                return b""
            fd = item.open()
            try:
                data = b""
                while len(data) < limit and (more := os.read(fd, limit - len(data))):
                    data += more
                return data
            finally:
                os.close(fd)

    def walk(self, path: bytes) -> Iterator[Item]:
        """All from a clean path down, parents first, names in order. NotFoundError where nothing is."""
        with _Folders(self, path) as found:
            item = found.item(b"")
            if item is None or self._ignores(path):
                raise NotFoundError(f"{os.fsdecode(path)!r} does not exist")
            yield item
            if stat.S_ISDIR(item.status.st_mode):
                yield from self._below(found, path, b"", self._matched(path))

    def _below(self, folder: _Folders, path: bytes, relative: bytes, above: Matched | None) -> Iterator[Item]:
        if relative.count(b"/") >= _DEPTH_LIMIT:
            raise LimitError(f"folders are nested more than {_DEPTH_LIMIT} deep: {os.fsdecode(relative)[:80]}…")
        for name, status, directory in folder.entries():
            whole = path + b"/" + name if path else name
            inner = relative + b"/" + name if relative else name
            matched, ignored = above, False
            if self._ignore:
                ignored, matched = self._ignore.below(os.fsdecode(whole), above)
            is_directory = stat.S_ISDIR(status.st_mode)
            if ignored and not (is_directory and self._ignore and self._ignore.takes_back):
                continue
            if not is_directory:
                yield Item(inner, status, directory, name)
                continue
            with folder.inside(name) as found:
                item = found.item(inner)
                if item is None:
                    continue
                below = self._below(found, whole, inner, matched)
                if ignored:  # the folder is there for the sake of what is taken back in it
                    first = next(below, None)
                    if first is None:
                        continue
                    yield item
                    yield first
                else:
                    yield item
                yield from below

    def _ignores(self, path: bytes) -> bool:
        return bool(self._ignore) and bool(path) and self._ignore.ignores(os.fsdecode(path))  # type: ignore[union-attr]

    def _matched(self, path: bytes) -> Matched | None:
        matched: Matched | None = None
        parts = path.split(b"/") if path and self._ignore else []
        for length in range(1, len(parts) + 1):
            _, matched = self._ignore.below(os.fsdecode(b"/".join(parts[:length])), matched)  # type: ignore[union-attr]
        return matched

    def _link(self, path: bytes) -> bytes | None:
        with _Folders(self, path) as found:
            item = found.item(b"")
            return item.target() if item is not None and stat.S_ISLNK(item.status.st_mode) else None

    def is_opaque(self, fd: int) -> bool:
        """Whether a layer's folder hides those below it."""
        with suppress(OSError):
            return bool(self._opaque) and os.getxattr(fd, self._opaque) == whiteout.OPAQUE_VALUE
        return False

    def roots(self) -> list[int]:
        """Descriptors of the layers' directories, topmost first, to be closed."""
        return [os.dup(fd) for fd in self._roots]


class _Folders:
    """What is at a path: a folder's part in each layer that has one, or one thing of another kind."""

    def __init__(self, view: FileView, path: bytes, folders: list[int] | None = None) -> None:
        self._view = view
        self._parents: list[int] = []
        self._folders = view.roots() if folders is None else folders
        self._name = b"."
        self.status: os.stat_result | None = None
        if self._folders and folders is None and not path:
            self.status = os.fstat(self._folders[0])
        for part in path.split(b"/") if path else ():
            self._enter(part)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for fd in (*self._folders, *self._parents):
            os.close(fd)

    def item(self, relative: bytes) -> Item | None:
        """The thing itself."""
        if self.status is None:
            return None
        directory = self._folders[0] if self._name == b"." else self._parents[0]
        return Item(relative, self.status, directory, self._name)

    def alone(self) -> Path | None:
        """Its path on the host; None for a folder in which several layers have a part, and for nothing."""
        item = self.item(b"")
        if item is None or len(self._folders) > 1:
            return None
        fd = self._folders[0] if self._folders else item.directory
        folder = Path(f"/proc/self/fd/{fd}").readlink()
        return folder if self._folders else folder / os.fsdecode(self._name)

    def entries(self) -> list[tuple[bytes, os.stat_result, int]]:
        """What is in the folder, by name, and the descriptor of the layer's folder that has it."""
        found: dict[bytes, tuple[os.stat_result, int] | None] = {}
        for fd in self._folders:
            for name in os.listdir(fd):  # noqa: PTH208  (a descriptor)
                encoded = os.fsencode(name)
                if encoded not in found:
                    with suppress(FileNotFoundError):
                        status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                        found[encoded] = None if whiteout.is_whiteout(status) else (status, fd)
        return [(name, *found_at) for name, found_at in sorted(found.items()) if found_at is not None]

    def inside(self, name: bytes) -> _Folders:
        """What is at a name in the folder."""
        found = _Folders(self._view, b"", [os.dup(fd) for fd in self._folders])
        found._enter(name)
        return found

    def _enter(self, name: bytes) -> None:
        for fd in self._parents:
            os.close(fd)
        parents, self._parents, self._folders, self.status = self._folders, [], [], None
        self._name = name
        for fd in parents:
            final = True
            try:
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                self._parents.append(fd)
                continue
            if whiteout.is_whiteout(status):
                self._parents.append(fd)
                break
            if stat.S_ISDIR(status.st_mode):
                inner = os.open(name, _DIRECTORY, dir_fd=fd)
                self._folders.append(inner)
                final = self._view.is_opaque(inner)
            if self.status is None:
                self.status = status
                self._parents.insert(0, fd)
            else:
                self._parents.append(fd)
            if final:
                break
        self._parents += [fd for fd in parents if fd not in self._parents]


def _parts(path: bytes) -> list[bytes]:
    return [part for part in path.split(b"/") if part not in (b"", b".")]
