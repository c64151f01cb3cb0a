"""What it takes to write a layer's archive again, byte for byte, from its unpacked files.

A layer is kept unpacked, but its DiffID is the digest of its archive, and archives of the same files differ: in the
order of entries, in the form of long names, in padding. So beside the files lies `archive`: everything of the archive
that is not the contents of a file, and in place of contents the file's path. `save`, `export` to a registry and the
builder's cache write layers out of it. The idea is that of vbatts/tar-split.

The form: deflated records of a type byte; `r` length(4) bytes; `f` length(2) path size(8); `s` length(2) path
number(4) and that many pairs of offset(8) length(8). Numbers are big-endian.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError
from sandbox.kernel.paths import Root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sandbox.image.tarformat import TarEntry

ARCHIVE = "archive"
CHUNK = 1 << 18
_RAW = struct.Struct(">cI")
_PATH = struct.Struct(">cH")
_SIZE = struct.Struct(">Q")
_COUNT = struct.Struct(">I")
_PAIR = struct.Struct(">QQ")
_LEVEL = 1  # headers are mostly zeros: any level makes a twentieth of them


class Recorder:
    """Writes the records; `raw` and `file` in the archive's order, then `close`."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._deflate = zlib.compressobj(_LEVEL)
        self._raw: list[bytes] = []
        self._length = 0
        self._records: list[bytes] = []  # whole ones, deflated some hundred at a time
        self._waiting = 0

    def raw(self, data: bytes | memoryview) -> None:
        """Bytes that are no file's contents."""
        self._raw.append(bytes(data))
        self._length += len(data)
        if self._length > CHUNK:
            self._end_raw()

    def file(self, path: bytes, entry: TarEntry) -> None:
        """The contents of the entry, which are in the file `path` below the layer's root."""
        if not entry.data_size:
            return
        if entry.segments is None:
            record = _PATH.pack(b"f", len(path)) + path + _SIZE.pack(entry.size)
        else:
            pairs = b"".join(_PAIR.pack(*segment) for segment in entry.segments)
            record = _PATH.pack(b"s", len(path)) + path + _COUNT.pack(len(entry.segments)) + pairs
        self._end_raw()
        self._add(record)

    def close(self) -> None:
        """Write what is left."""
        self._end_raw()
        self._flush()
        self._write(self._deflate.flush())

    def _end_raw(self) -> None:
        if self._raw:
            self._add(_RAW.pack(b"r", self._length), *self._raw)
            self._raw, self._length = [], 0

    def _add(self, *pieces: bytes) -> None:
        self._records += pieces
        self._waiting += sum(map(len, pieces))
        if self._waiting > CHUNK:
            self._flush()

    def _flush(self) -> None:
        self._write(self._deflate.compress(b"".join(self._records)))
        self._records, self._waiting = [], 0


def replay(snapshot: Path, files: str) -> Iterator[bytes]:
    """The bytes of a layer's archive. Raises SandboxError where the layer on disk is not what it was."""
    with (snapshot / ARCHIVE).open("rb") as stream, Root(snapshot / files) as root:
        records = _Records(stream.read)
        while kind := records.take(1):
            if kind == b"r":
                left = records.number(_COUNT)
                while left:
                    piece = records.take(min(left, CHUNK))
                    left -= len(piece)
                    yield piece
                continue
            path = records.take(int.from_bytes(records.take(2), "big"))
            if kind == b"f":
                segments = [(0, records.number(_SIZE))]
            elif kind == b"s":
                segments = [_PAIR.unpack(records.take(_PAIR.size)) for _ in range(records.number(_COUNT))]
            else:
                raise _damaged(f"record {kind!r}")
            yield from _contents(root, path, segments)


class _Records:
    """The records, inflated."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._inflate = zlib.decompressobj()
        self._buffer = bytearray()

    def take(self, size: int) -> bytes:
        """So many bytes; none at the end."""
        while len(self._buffer) < size:
            tail = self._inflate.unconsumed_tail or self._read(CHUNK)
            if not tail:
                if self._buffer or not self._inflate.eof:
                    raise _damaged("it is cut short")
                return b""
            try:
                self._buffer += self._inflate.decompress(tail, CHUNK)
            except zlib.error as error:
                raise _damaged(str(error)) from error
        taken = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        return taken

    def number(self, form: struct.Struct) -> int:
        """A number."""
        return int(form.unpack(self.take(form.size))[0])


def _contents(root: Root, path: bytes, segments: list[tuple[int, int]]) -> Iterator[bytes]:
    try:
        fd = root.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, follow_final=False)
    except OSError as error:
        raise _damaged(f"{os.fsdecode(path)!r}: {(error.strerror or '').lower()}") from error
    try:
        for offset, length in segments:
            position, end = offset, offset + length
            while position < end:
                piece = os.pread(fd, min(CHUNK, end - position), position)
                if not piece:
                    raise _damaged(f"{os.fsdecode(path)!r} is shorter than it was")
                position += len(piece)
                yield piece
    finally:
        os.close(fd)


def _damaged(why: str) -> SandboxError:
    return SandboxError(f"a layer in the store is damaged: {why}", reference="damaged-layer")
