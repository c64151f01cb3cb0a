"""ADD of an archive: what is in it, in place of itself.

A file of the context that is a tar, plain or compressed with gzip, bzip2, xz or zstd, is unpacked into the destination;
its name does not matter. What is in it goes the way of every layer, so that no name and no link leads out. Source:
docker's Dockerfile reference, "ADD".
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sandbox.builder.transfer import Transfer
from sandbox.errors import InvalidError, LimitError
from sandbox.image.decompress import is_compressed, open_stream
from sandbox.image.limits import Limits
from sandbox.image.tarformat import BLOCK, Kind, checksum_is_right
from sandbox.image.tarreader import TarReader
from sandbox.image.tarsource import TarSource
from sandbox.image.whiteout import PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sandbox.builder.files import FileView
    from sandbox.builder.transfer import Selected
    from sandbox.image.tarformat import TarEntry

    Data = Callable[[], Iterator[bytes | memoryview]]


class _Stream:
    """A descriptor from its beginning."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._position = 0

    def read(self, size: int, /) -> bytes:
        piece = os.pread(self._fd, size, self._position)
        self._position += len(piece)
        return piece


class ArchiveTransfer(Transfer):
    """Like a transfer, but a source that is an archive is unpacked into the destination."""

    def _one(self, one: Selected, destination: bytes, *, into: bool) -> Iterator[tuple[TarEntry, Data]]:
        if not (one.may_be_archive and is_archive(one.view, one.path)):
            yield from super()._one(one, destination, into=into)
            return
        yield from self._folders(destination)
        with _opened(one.view, one.path) as fd:
            reader = TarReader(TarSource(open_stream(_Stream(fd)), limit=Limits().data), Limits())
            for entry in reader:
                placed = self._placed(entry, destination)
                if placed is not None:
                    yield placed, reader.data

    def _placed(self, entry: TarEntry, destination: bytes) -> TarEntry | None:
        name = entry.name.strip(b"/")
        if name in (b"", b".") or name.rpartition(b"/")[2].startswith(PREFIX):
            return None
        if entry.kind is Kind.LINK:
            entry = entry._replace(target=_below(destination, entry.target))
        owner = self._placing.owner_of_archives
        if owner is not None:
            entry = entry._replace(uid=owner.uid, gid=owner.gid)
        return entry._replace(name=_below(destination, name))


def is_archive(view: FileView, path: bytes) -> bool:
    """Whether a file is a tar, by its first header, whatever it is compressed with."""
    status = view.status(path)
    if status is None or not stat.S_ISREG(status.st_mode) or status.st_size < 3:
        return False
    with _opened(view, path) as fd:
        head = os.pread(fd, BLOCK, 0)
        if not is_compressed(head):
            return len(head) == BLOCK and any(head) and checksum_is_right(head)
        try:
            stream = open_stream(_Stream(fd))
            block = b""
            while len(block) < BLOCK and (more := stream.read(BLOCK - len(block))):
                block += more
        except (InvalidError, LimitError):
            return False
        return len(block) == BLOCK and any(block) and checksum_is_right(block)


@contextmanager
def _opened(view: FileView, path: bytes) -> Iterator[int]:
    for item in view.walk(path):
        fd = item.open()
        try:
            yield fd
        finally:
            os.close(fd)
        return


def _below(folder: bytes, name: bytes) -> bytes:
    return folder + b"/" + name.lstrip(b"/") if folder else name
