"""Writes an archive as a stream: ustar headers, and a pax header before each entry that ustar cannot hold.

Used for images made here and by export, save and commit. The same entries always give the same bytes. Sparse files are
written in GNU's pax format 1.0, which GNU tar, libarchive and Go read.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from sandbox.image.tarformat import (
    BLOCK,
    NANOSECONDS,
    XATTR,
    Kind,
    TarEntry,
    byte_sum,
    format_pax,
    format_time,
    malformed,
    padding,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_MAX_ID = 0o7777777
_MAX_SIZE = 0o77777777777
_END = bytes(2 * BLOCK)
# Name, five numbers, checksum, type, target of links, magic; names of user and group are empty, since numbers alone
# count in an image; device, prefix. Of the time that a layer of small files takes, most is that of their headers.
_USTAR = struct.Struct("100s48s8sc100s8s64x16s155s12x")
_NUMBERS = b"%07o\0%07o\0%07o\0%011o\0%011o\0"  # mode, user, group, size, time
_DEVICE = b"%07o\0%07o\0"


class TarWriter:
    """`write` gets the archive's bytes in order; files' contents go to `contents` if that is given. `add` each entry,
    then `close`.
    """

    def __init__(
        self,
        write: Callable[[bytes | memoryview], object],
        contents: Callable[[bytes | memoryview], object] | None = None,
    ) -> None:
        self._write = write
        self._contents = contents or write
        self._name = b""
        self._left = 0  # bytes of contents to come
        self._padding = b""  # of the contents; written with what comes next

    def add(self, entry: TarEntry, data: Iterable[bytes | memoryview] = ()) -> None:
        """Write an entry and its contents (of a sparse file: its segments one after another).

        Raises InvalidError when the contents are not as long as the entry says, which leaves the archive broken.
        """
        self.begin(entry)
        for _ in self.through(data):
            pass
        self.end()

    def begin(self, entry: TarEntry) -> None:
        """Write what comes before the entry's contents. `through` and `end` follow, for entries of every kind."""
        _check(entry)
        is_file = entry.kind is Kind.FILE
        name = entry.name.rstrip(b"/") + b"/" if entry.kind is Kind.DIRECTORY else entry.name
        size = entry.data_size if is_file else 0
        records: list[tuple[bytes, bytes]] = []
        sparse_map = b""
        if is_file and entry.segments is not None:
            sparse_map = _map(entry.segments, entry.size)
            records += [
                (b"GNU.sparse.major", b"1"),
                (b"GNU.sparse.minor", b"0"),
                (b"GNU.sparse.name", name),
                (b"GNU.sparse.realsize", b"%d" % entry.size),
            ]
            name = _stand_in(b"GNUSparseFile.0/", name)
        stored = len(sparse_map) + size
        header = self._header(entry, name, stored, records)
        if entry.xattrs:
            records += [(XATTR + attribute, entry.xattrs[attribute]) for attribute in sorted(entry.xattrs)]
        self._write(self._padding + (_pax(name, records) if records else b"") + header + sparse_map)
        self._name, self._left, self._padding = entry.name, size, bytes(padding(stored))

    def through(self, data: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
        """Write the contents, and hand each piece on to somebody else who wants it."""
        for piece in data:
            self._left -= len(piece)
            self._contents(piece)
            yield piece

    def end(self) -> None:
        """Say that these were the contents."""
        if self._left:
            raise malformed("its contents are not as long as its header says", self._name)

    def close(self) -> None:
        """Write the end marker."""
        self._write(self._padding + _END)

    @staticmethod
    def _header(entry: TarEntry, name: bytes, size: int, records: list[tuple[bytes, bytes]]) -> bytes:
        """The ustar header; what does not fit is added to `records` (and is cut or zero in the header)."""
        prefix, short = _split(name)
        if short is None or not _is_plain(name):
            if short is None and not _is_utf8(name):
                records.append((b"hdrcharset", b"BINARY"))
            if short is None or _is_utf8(name):
                records.append((b"path", name))
        if short is None:
            prefix, short = b"", name[:100]
        target = entry.target
        if len(target) > 100 or (target and not _is_plain(target) and _is_utf8(target)):
            if not _is_utf8(target) and (b"hdrcharset", b"BINARY") not in records:
                records.append((b"hdrcharset", b"BINARY"))
            records.append((b"linkpath", target))
            target = target[:100]
        numbers: list[int] = []
        for keyword, value, most in (
            (b"uid", entry.uid, _MAX_ID),
            (b"gid", entry.gid, _MAX_ID),
            (b"size", size, _MAX_SIZE),
        ):
            if value > most:
                records.append((keyword, b"%d" % value))
            numbers.append(value if value <= most else 0)
        uid, gid, octal_size = numbers
        seconds, rest = divmod(entry.mtime, NANOSECONDS)
        if rest or not 0 <= seconds <= _MAX_SIZE:
            records.append((b"mtime", format_time(entry.mtime)))
            seconds = max(0, min(seconds, _MAX_SIZE))
        return _block(
            short,
            target,
            entry.kind.value,
            octal_size,
            entry.mode & 0o7777,
            uid,
            gid,
            seconds,
            prefix=prefix,
            device=(entry.major, entry.minor),
        )


def _pax(name: bytes, records: list[tuple[bytes, bytes]]) -> bytes:
    data = format_pax(records)
    header = _block(_stand_in(b"PaxHeaders.0/", name), b"", b"x", len(data), 0o644, 0, 0, 0)
    return header + data + bytes(padding(len(data)))


def _check(entry: TarEntry) -> None:
    if not entry.name or b"\0" in entry.name or b"\0" in entry.target:
        raise malformed("a name is empty or has a NUL in it", entry.name)
    if entry.size < 0 or min(entry.uid, entry.gid, entry.major, entry.minor) < 0:
        raise malformed("a number is below zero", entry.name)
    if max(entry.major, entry.minor) > _MAX_ID:
        raise malformed(f"device {entry.major}:{entry.minor} does not fit a tar header", entry.name)


def _stand_in(folder: bytes, name: bytes) -> bytes:
    """A header's name where a record has the real one. It needs no record of its own, which would win over that."""
    base = name.rstrip(b"/").rpartition(b"/")[2]
    return folder + (base if base.isascii() else b"entry")[:80]


def _block(
    name: bytes,
    target: bytes,
    flag: bytes,
    size: int,
    mode: int,
    uid: int,
    gid: int,
    mtime: int,
    *,
    prefix: bytes = b"",
    device: tuple[int, int] = (0, 0),
) -> bytes:
    numbers = _NUMBERS % (mode, uid, gid, size, mtime)
    fields = (target, b"ustar\x0000", _DEVICE % device, prefix)
    total = byte_sum(_USTAR.pack(name, numbers, b" " * 8, flag, *fields))
    return _USTAR.pack(name, numbers, b"%06o\0 " % total, flag, *fields)


def _split(name: bytes) -> tuple[bytes, bytes | None]:
    """ustar's prefix and name; the name is `None` when they do not fit."""
    if len(name) <= 100:
        return b"", name
    # the last slash that leaves a prefix of at most 155 bytes; a trailing one belongs to the name
    cut = name.rfind(b"/", 0, min(156, len(name) - 1))
    if cut > 0 and len(name) - cut - 1 <= 100:
        return name[:cut], name[cut + 1 :]
    return b"", None


def _is_plain(text: bytes) -> bool:
    return text.isascii()


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _map(segments: tuple[tuple[int, int], ...], size: int) -> bytes:
    if (sum(segments[-1]) if segments else 0) < size:
        segments = (*segments, (size, 0))  # how GNU tar learns of a hole at the end
    text = b"%d\n" % len(segments) + b"".join(b"%d\n%d\n" % segment for segment in segments)
    return text + bytes(padding(len(text)))
