"""A finished log: one file, compressed, of which any part is read alone. `zstd -d` gives the log's bytes, too.

Zstandard's seekable format, version 0.1 (zstd_seekable_compression_format.md in zstd's sources): frames of
`STRIDE` bytes of the log each (the last may be shorter), and at the end a skippable frame with their sizes (the seek
table). Before that is a skippable frame of ours:

    0x184D2A5D u32, size u32, marks (24 bytes each, see `marks`), count of marks u64, "hakomark"

All numbers are little-endian. A file appears whole: it is written beside its place, synchronised and renamed.
"""

from __future__ import annotations

import os
import struct
from array import array
from itertools import accumulate
from typing import TYPE_CHECKING

import zstandard

from ci.errors import CiError
from ci.logs.live import sync_folder
from ci.logs.marks import SIZE, STRIDE, Marks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ci.logs.live import LiveSource

_LEVEL = 3
_SKIPPABLE = struct.Struct("<II")  # magic number, size of what follows
_MARKS_MAGIC, _TABLE_MAGIC = 0x184D2A5D, 0x184D2A5E
_TRAILER = struct.Struct("<Q8s")
_TRAILER_MAGIC = b"hakomark"
_FOOTER = struct.Struct("<IBI")  # frames, descriptor, magic number
_FOOTER_MAGIC = 0x8F92EAB1


def write(source: LiveSource, target: Path) -> None:
    """Compress a log that has ended to `target`, which is on the disk and whole when this returns.

    The folder of `target` belongs to who calls; a draft of a process that was killed is written over.
    """
    draft = target.with_name(target.name + ".part")
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
    entries = array("I")
    with draft.open("wb") as file:
        offset = 0
        while block := source.read(offset, STRIDE):
            frame = compressor.compress(block)
            file.write(frame)
            entries.extend((len(frame), len(block)))
            offset += len(block)
        count = len(source.marks)
        file.write(_SKIPPABLE.pack(_MARKS_MAGIC, count * SIZE + _TRAILER.size))
        for mark in source.marks:
            file.write(mark.packed())
        file.write(_TRAILER.pack(count, _TRAILER_MAGIC))
        table = struct.pack(f"<{len(entries)}I", *entries)
        file.write(_SKIPPABLE.pack(_TABLE_MAGIC, len(table) + _FOOTER.size))
        file.write(table + _FOOTER.pack(len(entries) // 2, 0, _FOOTER_MAGIC))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(target)
    sync_folder(target.parent)


class ArchiveSource:
    """A finished log, to be read. Raises FileNotFoundError; CiError for what is no such file."""

    ended = True

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._frames, self.marks = self._index(path)
        except BaseException:
            os.close(self._file)
            raise
        self._decompressor = zstandard.ZstdDecompressor()
        self._block = (-1, b"")  # the one that was read last: who goes on reads it again

    def _index(self, path: Path) -> tuple[array[int], Marks]:
        """Where the frames begin, and the end of the last; the marks."""
        damaged = CiError(f"{path} is damaged", reference="damaged-log")
        size = os.fstat(self._file).st_size
        footer = os.pread(self._file, _FOOTER.size, max(0, size - _FOOTER.size))
        if len(footer) < _FOOTER.size:
            raise damaged
        frames, descriptor, magic = _FOOTER.unpack(footer)
        table = size - _FOOTER.size - 8 * frames
        trailer = os.pread(self._file, _TRAILER.size, max(0, table - _SKIPPABLE.size - _TRAILER.size))
        if magic != _FOOTER_MAGIC or descriptor or table < 0 or len(trailer) < _TRAILER.size:
            raise damaged
        count, magic = _TRAILER.unpack(trailer)
        marks = table - _SKIPPABLE.size - _TRAILER.size - count * SIZE
        if magic != _TRAILER_MAGIC or marks < _SKIPPABLE.size:
            raise damaged
        sizes = struct.unpack(f"<{2 * frames}I", os.pread(self._file, 8 * frames, table))[::2]
        return array("Q", accumulate(sizes, initial=0)), Marks(self._file, marks, count)

    def refresh(self) -> None:
        """Nothing comes after the end."""

    def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset` on; none at the end."""
        return b"".join(self._parts(offset, max(0, min(size, self.marks.last.offset - offset))))

    def _parts(self, offset: int, size: int) -> Iterator[bytes]:
        while size > 0:
            number, within = divmod(offset, STRIDE)
            part = self._frame(number)[within : within + size]
            if not part:
                return
            yield part
            offset, size = offset + len(part), size - len(part)

    def _frame(self, number: int) -> bytes:
        if self._block[0] != number:
            begin, end = self._frames[number], self._frames[number + 1]
            data = os.pread(self._file, end - begin, begin)
            self._block = (number, self._decompressor.decompress(data, max_output_size=STRIDE))
        return self._block[1]

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._file)
