"""Reads an archive as a stream of entries: ustar, v7, GNU (long names, sparse files) and pax (local and global
headers).

Nothing here touches a file system. Every number is checked before it is used, every header is bounded, and what is
ambiguous is refused: an archive must not mean one thing to us and another to a scanner (and CVE-2025-8194: sizes below
zero loop).
"""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING

from sandbox.errors import LimitError
from sandbox.image.tarformat import (
    BLOCK,
    LIBARCHIVE_XATTR,
    MAX_ID,
    MAX_MAJOR,
    MAX_MINOR,
    MAX_SECONDS,
    NANOSECONDS,
    NO_XATTRS,
    SPARSE,
    XATTR,
    ZERO_BLOCK,
    Kind,
    TarEntry,
    check_segments,
    checksum_is_right,
    decimal,
    malformed,
    number,
    padding,
    parse_pax,
    parse_time,
    show,
)
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sandbox.image.limits import Limits
    from sandbox.image.tarsource import TarSource

_KINDS: Mapping[bytes, Kind] = {kind.value: kind for kind in Kind} | {
    b"\0": Kind.FILE,
    b"7": Kind.FILE,
    b"S": Kind.FILE,
}
_OWN = (b"path", b"linkpath", b"size")  # of one entry; in a global header they would give all files one name
_OLD_SPARSE = b"S"


class _Extended(NamedTuple):
    """What headers before the real one said about it."""

    records: dict[bytes, bytes]
    long_name: bytes | None
    long_target: bytes | None


class TarReader:
    """Iterate over entries; `data()` gives the contents of the current one, which need not be read.

    Raises InvalidError for a malformed archive, LimitError beyond `limits`. With `require_end`, an archive without its
    end marker is refused as cut short; a layer whose digest is verified needs none.
    """

    def __init__(self, source: TarSource, limits: Limits, *, require_end: bool = False) -> None:
        self._source = source
        self._limits = limits
        self._require_end = require_end
        self._globals: dict[bytes, bytes] = {}
        self._left = 0  # bytes of the current entry's contents not read yet
        self._padding = 0
        self._count = 0

    def __iter__(self) -> Iterator[TarEntry]:
        while (entry := self._next()) is not None:
            yield entry

    def data(self) -> Iterator[bytes | memoryview]:
        """The contents of the current entry, as the archive holds them: of a sparse file, its segments one after
        another.
        """
        left, self._left = self._left, 0
        return self._source.views(left)

    # -- headers

    def _next(self) -> TarEntry | None:
        records: dict[bytes, bytes] = {}
        long_name: bytes | None = None
        long_target: bytes | None = None
        while True:
            self._skip_rest()
            block = self._source.block()
            if block is None or block == ZERO_BLOCK:
                if records or long_name is not None or long_target is not None:
                    raise malformed("it ends after an extended header")
                self._end(marked=block is not None)
                return None
            self._count += 1
            if self._count > self._limits.entries:
                raise LimitError(f"the archive has more than {self._limits.entries} entries")
            if not checksum_is_right(block):
                raise malformed("a header's checksum is wrong; this is no tar archive, or it is damaged")
            flag = block[156:157]
            if flag in (b"x", b"X"):
                records = self._pax(block)
            elif flag == b"g":
                self._merge_globals(self._pax(block))
            elif flag == b"L":
                long_name = self._long(block)
            elif flag == b"K":
                long_target = self._long(block)
            elif flag == b"V":  # a GNU volume label
                self._contents(self._size(block))
            else:
                return self._entry(block, flag, _Extended(records, long_name, long_target))

    def _skip_rest(self) -> None:
        self._source.skip(self._left + self._padding)
        self._left = self._padding = 0

    def _contents(self, size: int) -> None:
        self._left, self._padding = size, padding(size)

    def _end(self, *, marked: bool) -> None:
        if not marked and self._require_end:
            raise malformed("it is cut short: the end marker is missing")
        self._source.drain()

    def _size(self, block: bytes) -> int:
        size = number(block[124:136], "size")
        if size < 0:
            raise malformed("a size is below zero")
        return size

    def _header_data(self, block: bytes) -> bytes:
        size = self._size(block)
        if size > self._limits.header:
            raise LimitError(f"the archive has an extended header of {size} bytes, more than {self._limits.header}")
        data = self._source.take(size)
        self._source.skip(padding(size))
        return data

    def _long(self, block: bytes) -> bytes:
        return self._header_data(block).partition(b"\0")[0]

    def _pax(self, block: bytes) -> dict[bytes, bytes]:
        records: dict[bytes, bytes] = {}
        pairs: list[bytes] = []
        for keyword, value in parse_pax(self._header_data(block)):
            if keyword in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):  # format 0.0: the one repeated keyword
                if (keyword == b"GNU.sparse.offset") != (len(pairs) % 2 == 0):
                    raise malformed("a sparse map's offsets and lengths do not alternate")
                pairs.append(value)
            else:
                records[keyword] = value
        if pairs:
            records[b"GNU.sparse.map"] = b",".join(pairs)
        return records

    def _merge_globals(self, records: dict[bytes, bytes]) -> None:
        for keyword in records:
            if keyword in _OWN or keyword.startswith((SPARSE, XATTR, LIBARCHIVE_XATTR)):
                raise malformed(f"a global header sets {show(keyword)} for all entries")
        self._globals.update(records)
        total = sum(len(keyword) + len(value) for keyword, value in self._globals.items())
        if total > self._limits.header:
            raise LimitError(f"the archive's global headers have more than {self._limits.header} bytes")

    # -- one entry

    def _entry(self, block: bytes, flag: bytes, extended: _Extended) -> TarEntry:
        records = {**self._globals, **extended.records} if self._globals else extended.records
        name = _name(block)
        target = block[157:257].partition(b"\0")[0]
        size = self._size(block)
        uid = number(block[108:116], "uid")
        gid = number(block[116:124], "gid")
        mtime = number(block[136:148], "mtime") * NANOSECONDS
        if records:
            name = records.get(b"path") or name
            target = records.get(b"linkpath") or target
            size = decimal(value, "size") if (value := records.get(b"size")) else size
            uid = decimal(value, "uid") if (value := records.get(b"uid")) else uid
            gid = decimal(value, "gid") if (value := records.get(b"gid")) else gid
            mtime = parse_time(value) if (value := records.get(b"mtime")) else mtime
        name = extended.long_name or name
        target = extended.long_target or target
        self._check_name(name, target, flag)
        if not (0 <= uid <= MAX_ID and 0 <= gid <= MAX_ID):
            raise malformed(f"its owner {uid}:{gid} is out of range", name)
        kind = _KINDS.get(flag)
        if kind is None:
            raise malformed(f"entries of type {flag!r} are not supported", name)
        if flag == b"\0" and name.endswith(b"/"):  # how v7 wrote directories
            kind = Kind.DIRECTORY
        segments: tuple[tuple[int, int], ...] | None = None
        if kind is Kind.FILE:
            name, size, segments = self._file(block, flag, name, size, records)
        else:
            size = 0  # as in Go: only files have contents, whatever the field says
        major = minor = 0
        if kind in (Kind.CHARACTER, Kind.BLOCK):
            major, minor = number(block[329:337], "major"), number(block[337:345], "minor")
            if not (0 <= major <= MAX_MAJOR and 0 <= minor <= MAX_MINOR):
                raise malformed(f"device {major}:{minor} is out of range", name)
        limit = MAX_SECONDS * NANOSECONDS
        return TarEntry(
            name,
            kind,
            number(block[100:108], "mode") & 0o7777,
            uid,
            gid,
            size,
            max(-limit, min(mtime, limit)),
            target,
            major,
            minor,
            _xattrs(records, name) if records else NO_XATTRS,
            segments,
        )

    def _check_name(self, name: bytes, target: bytes, flag: bytes) -> None:
        if not name or b"\0" in name:
            raise malformed("an entry's name is empty or has a NUL in it", name)
        if len(name) > self._limits.path or len(target) > self._limits.path:
            raise LimitError(f"archive entry {show(name)}: a path is longer than {self._limits.path} bytes")
        if flag in (b"1", b"2") and (not target or b"\0" in target):
            raise malformed("the link's target is empty or has a NUL in it", name)

    # -- contents

    def _file(
        self, block: bytes, flag: bytes, name: bytes, size: int, records: Mapping[bytes, bytes]
    ) -> tuple[bytes, int, tuple[tuple[int, int], ...] | None]:
        """Set up the contents of a file; returns its name, length and sparse map."""
        segments: list[tuple[int, int]] | None = None
        length = size
        map_size = 0
        if flag == _OLD_SPARSE:
            length = number(block[483:495], "real size")
            segments = self._old_gnu_map(block)
        elif records.get(b"GNU.sparse.major") == b"1" and records.get(b"GNU.sparse.minor") == b"0":
            length = decimal(records.get(b"GNU.sparse.realsize", b""), "GNU.sparse.realsize")
            segments, map_size = self._map_in_data(size, name)
        elif b"GNU.sparse.map" in records:
            length = decimal(records.get(b"GNU.sparse.size", b""), "GNU.sparse.size")
            values = records[b"GNU.sparse.map"].split(b",")
            self._check_segment_count(len(values) // 2, name)
            numbers = [decimal(value, "GNU.sparse.map") for value in values]
            if len(numbers) % 2:
                raise malformed("its sparse map has an odd number of values", name)
            segments = list(zip(numbers[::2], numbers[1::2], strict=True))
        elif any(keyword.startswith(b"GNU.sparse.") for keyword in records):
            raise malformed("its sparse format is not known", name)
        if segments is not None:
            name = records.get(b"GNU.sparse.name") or name
            self._check_name(name, b"", flag)
        if not 0 <= length <= self._limits.file_size:
            raise LimitError(f"archive entry {show(name)}: a length of {length} bytes is out of bounds")
        data_size = size - map_size
        if data_size > self._limits.data:
            raise LimitError(f"archive entry {show(name)}: more than {self._limits.data} bytes")
        self._left, self._padding = data_size, padding(size)
        if segments is None:
            return name, length, None
        return name, length, check_segments(segments, length, data_size, name)

    def _check_segment_count(self, count: int, name: bytes) -> None:
        if count > self._limits.sparse_segments:
            raise LimitError(f"archive entry {show(name)}: more than {self._limits.sparse_segments} segments")

    def _old_gnu_map(self, block: bytes) -> list[tuple[int, int]]:
        """Four pairs in the header, 21 in each block that follows while the flag says so."""
        segments: list[tuple[int, int]] = []
        area, more = block[386:482], block[482]
        while True:
            for start in range(0, len(area), 24):
                pair = area[start : start + 24]
                if not pair.strip(b"\0"):
                    break
                segments.append((number(pair[:12], "sparse offset"), number(pair[12:], "sparse length")))
            if not more:
                return segments
            self._check_segment_count(len(segments), _name(block))
            following = self._source.block()
            if following is None:
                raise malformed("it is cut short in a sparse map")
            area, more = following[:504], following[504]

    def _map_in_data(self, size: int, name: bytes) -> tuple[list[tuple[int, int]], int]:
        """Format 1.0: decimal lines before the data (their number; offset and length in turns), padded to a block."""
        numbers: list[int] = []
        wanted = 1
        used = 0
        rest = b""
        while len(numbers) < wanted:
            if used + BLOCK > size + padding(size) or (block := self._source.block()) is None:
                raise malformed("its sparse map is cut short", name)
            used += BLOCK
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                if len(numbers) == wanted:
                    break
                numbers.append(decimal(line, "sparse map"))
                if len(numbers) == 1:
                    self._check_segment_count(numbers[0], name)
                    wanted = 1 + 2 * numbers[0]
            if len(rest) > 20 and len(numbers) < wanted:
                raise malformed("its sparse map is not made of numbers", name)
        if used > size:
            raise malformed("its sparse map is longer than the entry", name)
        return list(zip(numbers[1::2], numbers[2::2], strict=True)), used


def _name(block: bytes) -> bytes:
    name = block[:100].partition(b"\0")[0]
    if block[257:263] == b"ustar\0":
        end = 476 if block[508:512] == b"tar\0" else 500  # star keeps times behind a shorter prefix
        prefix = block[345:end].partition(b"\0")[0]
        if prefix:
            return prefix + b"/" + name
    return name


def _xattrs(records: Mapping[bytes, bytes], name: bytes) -> Mapping[bytes, bytes]:
    """Extended attributes of a pax header: star's and GNU tar's raw ones, libarchive's encoded ones where those are
    missing.
    """
    found: dict[bytes, bytes] = {}
    for keyword, value in records.items():
        if keyword.startswith(XATTR):
            found[keyword[len(XATTR) :]] = value
        elif keyword.startswith(LIBARCHIVE_XATTR):
            attribute = _percent_decode(keyword[len(LIBARCHIVE_XATTR) :])
            try:
                found.setdefault(attribute, binascii.a2b_base64(value + b"=" * (-len(value) % 4)))
            except binascii.Error:
                raise malformed(f"attribute {show(attribute)} is not base64", name) from None
    if any(not attribute or b"\0" in attribute for attribute in found):
        raise malformed("an extended attribute has no name", name)
    return found or NO_XATTRS


def _percent_decode(text: bytes) -> bytes:
    head, *rest = text.split(b"%")
    result = bytearray(head)
    for part in rest:
        try:
            result += binascii.unhexlify(part[:2]) + part[2:]
        except binascii.Error:
            result += b"%" + part
    return bytes(result)
