"""Where images from outside lie: an archive file or a directory, with named members.

`loading` reads documents and layers out of one by name. An archive is not unpacked: its headers are read once, and each
member where it lies; what cannot be read so (a pipe, a compressed archive) is first written to a file.
"""

from __future__ import annotations

import os
import posixpath
import stat
from typing import TYPE_CHECKING

from sandbox.errors import InvalidError, LimitError, NotFoundError
from sandbox.image.decompress import is_compressed, open_stream
from sandbox.image.limits import Limits
from sandbox.image.tarformat import Kind
from sandbox.image.tarreader import TarReader
from sandbox.image.tarsource import SeekingSource
from sandbox.kernel.paths import Root
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Protocol, Self

    from sandbox.image.tarsource import Readable

    class Bundle(Protocol):
        """Members by name, as `blobs/sha256/…`; a context manager."""

        def __enter__(self) -> Self:
            """Open."""

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None:
            """Close."""

        def has(self, name: str) -> bool:
            """Whether there is such a member."""

        def open(self, name: str) -> Member:
            """The member, from its beginning. Raises NotFoundError."""


_MEMBERS = 100_000
_LINKS = 8  # podman's archives have one for each layer
_CHUNK = 1 << 18
_HEAD = 6  # bytes that tell how a file is compressed


class Member(NamedTuple):
    """Bytes of a file; `read` as a stream reads on from `position`."""

    fd: int
    offset: int
    size: int
    position: list[int]

    def read(self, size: int, /) -> bytes:
        """The next bytes."""
        done = self.position[0]
        data = os.pread(self.fd, min(size, self.size - done), self.offset + done)
        self.position[0] += len(data)
        return data

    def whole(self, limit: int) -> bytes:
        """All of a small member. Raises LimitError."""
        if self.size > limit:
            raise LimitError(f"a document of {self.size} bytes is longer than {limit}")
        data = b""
        while chunk := self.read(self.size):
            data += chunk
        return data


class TarBundle:
    """The members of a tar file; `fd` stays the caller's. Raises InvalidError for what is no archive."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._members: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        source = SeekingSource(fd, limit=Limits().data)
        for entry in TarReader(source, Limits(entries=_MEMBERS)):
            name = _plain(os.fsdecode(entry.name))
            if entry.kind is Kind.FILE and entry.segments is None:
                if name in self._members:
                    raise InvalidError(f"the archive has {name!r} twice", reference="invalid-archive")
                self._members[name] = (source.position, entry.size)
            elif entry.kind is Kind.SYMLINK:
                self._links[name] = _plain(posixpath.join(posixpath.dirname(name), os.fsdecode(entry.target)))
            elif entry.kind is Kind.LINK:
                self._links[name] = _plain(os.fsdecode(entry.target))
        size = os.fstat(fd).st_size
        if any(offset + length > size for offset, length in self._members.values()):
            raise InvalidError("archive: it is cut short", reference="invalid-archive")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def has(self, name: str) -> bool:
        """Whether there is such a member."""
        return self._find(name) is not None

    def open(self, name: str) -> Member:
        """The member, from its beginning. Raises NotFoundError."""
        found = self._find(name)
        if found is None:
            raise NotFoundError(f"the archive has no {name[:200]!r}", reference="incomplete-archive")
        return Member(self._fd, *found, [0])

    def _find(self, name: str) -> tuple[int, int] | None:
        name = _plain(name)
        for _ in range(_LINKS):
            if name not in self._links:
                break
            name = self._links[name]
        return self._members.get(name)


class DirectoryBundle:
    """The files of an OCI layout on disk; links are followed inside it only."""

    def __init__(self, path: Path) -> None:
        self._root = Root(path)
        self._opened: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for fd in self._opened:
            os.close(fd)
        self._root.close()

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        try:
            fd = self._root.open(name, os.O_PATH)
        except OSError:
            return False
        os.close(fd)
        return True

    def open(self, name: str) -> Member:
        """The file, from its beginning. Raises NotFoundError, InvalidError for anything but a regular file."""
        try:
            fd = self._root.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFoundError(f"the layout has no {name[:200]!r}", reference="incomplete-archive") from None
        self._opened.append(fd)
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise InvalidError(f"{name[:200]!r} of the layout is not a regular file", reference="invalid-archive")
        return Member(fd, 0, status.st_size, [0])


def is_plain_file(fd: int) -> bool:
    """Whether an archive can be read where it lies: a regular file that is not compressed."""
    if not stat.S_ISREG(os.fstat(fd).st_mode) or os.lseek(fd, 0, os.SEEK_CUR) != 0:
        return False
    return not is_compressed(os.pread(fd, _HEAD, 0))


def spool(stream: Readable, path: Path, *, limit: int) -> int:
    """Write a stream, uncompressed, to a new file; its descriptor. Raises LimitError."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    count = 0
    inflated = open_stream(stream)
    while chunk := inflated.read(_CHUNK):
        count += len(chunk)
        if count > limit:
            os.close(fd)
            raise LimitError(f"the archive has more than {limit} bytes")
        view = memoryview(chunk)
        while view:
            view = view[os.write(fd, view) :]
    return fd


def _plain(name: str) -> str:
    """A member's name without `.` and `..`."""
    return posixpath.normpath("/" + name)[1:].removeprefix("/")
