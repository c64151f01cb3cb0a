"""The tar format, both ways: entries as records, numbers, checksums and pax records, without any input or output.

`tarreader` and `tarwriter` use it. Names, link targets and attributes are bytes throughout: an archive does not say how
they are encoded. Sources: POSIX.1-2017 pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual,
"Basic Tar Format" and "Storing Sparse Files"; where they leave a choice, Go's archive/tar decides, as that is what
registries and scanners read with.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING
from zlib import adler32

from sandbox.errors import InvalidError
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BLOCK = 512
ZERO_BLOCK = bytes(BLOCK)
NANOSECONDS = 10**9
MAX_ID = 2**32 - 2  # 2**32 - 1 is chown's "leave it"
MAX_SECONDS = 2**40  # what is further from 1970 is clamped; no file system keeps it
MAX_MAJOR, MAX_MINOR = 2**12 - 1, 2**20 - 1  # the kernel's dev_t
XATTR = b"SCHILY.xattr."
LIBARCHIVE_XATTR = b"LIBARCHIVE.xattr."
SPARSE = b"GNU.sparse."


class Kind(Enum):
    """What an entry is; the values are ustar's type flags."""

    FILE = b"0"
    LINK = b"1"
    SYMLINK = b"2"
    CHARACTER = b"3"
    BLOCK = b"4"
    DIRECTORY = b"5"
    FIFO = b"6"


NO_XATTRS: Mapping[bytes, bytes] = {}


class TarEntry(NamedTuple):
    """One entry. `size` is a file's length, holes included; with `segments` only those (offset, length) are in the
    archive.

    GNU tar begins each segment at a block of its own, others do not: in what is written, all but the last are whole
    blocks.
    """

    name: bytes
    kind: Kind = Kind.FILE
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime: int = 0  # nanoseconds since 1970
    target: bytes = b""  # of links of both kinds
    major: int = 0
    minor: int = 0
    xattrs: Mapping[bytes, bytes] = NO_XATTRS
    segments: tuple[tuple[int, int], ...] | None = None

    @property
    def data_size(self) -> int:
        """Bytes of the file that the archive holds."""
        if self.segments is None:
            return self.size
        return sum(length for _, length in self.segments)


def show(name: bytes) -> str:
    """A name from an archive as part of a message: on one line, short, no control characters."""
    text = ascii(name.decode("utf-8", "surrogateescape"))[1:-1]
    return f"'{text}'" if len(text) <= 200 else f"'{text[:200]}…'"


def malformed(why: str, name: bytes = b"") -> InvalidError:
    """The error for an archive that is broken or hostile."""
    where = f"archive entry {show(name)}: " if name else "archive: "
    return InvalidError(where + why, reference="invalid-archive")


def number(field: bytes, what: str) -> int:
    """A numeric header field: octal text, or base-256 (two's complement) when the first bit is set."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        negative = field[0] & 0x40
        return value - (1 << (8 * len(field) - 1)) if negative else value
    text = field.strip(b" \0").partition(b"\0")[0]
    if not text:
        return 0
    if text.isdigit():
        try:
            return int(text, 8)
        except ValueError:
            pass
    raise malformed(f"{what} is not an octal number: {text[:24]!r}")


def checksum(block: bytes) -> int:
    """The sum of a header's bytes, its checksum field read as spaces."""
    return byte_sum(block) - sum(block[148:156]) + 256


def byte_sum(block: bytes) -> int:
    """The sum of a block's bytes, faster than `sum`: the lower half of Adler-32 is one, modulo 65,521, which 256 bytes
    stay below.
    """
    half = BLOCK // 2
    return (adler32(block[:half], 0) & 0xFFFF) + (adler32(block[half:], 0) & 0xFFFF)


def checksum_is_right(block: bytes) -> bool:
    """Whether the header carries its checksum; old tars summed signed bytes."""
    try:
        stored = number(block[148:156], "checksum")
    except InvalidError:
        return False
    unsigned = checksum(block)
    if stored == unsigned:
        return True
    field = block[148:156]
    high = sum(byte > 127 for byte in block) - sum(byte > 127 for byte in field)
    return stored == unsigned - 256 * high


def decimal(text: bytes, what: str) -> int:
    """A decimal number of a pax record, not negative."""
    if not text.isdigit() or len(text) > 20:
        raise malformed(f"{what} is not a number: {text[:24]!r}")
    return int(text)


def parse_time(text: bytes) -> int:
    """A pax time (`-12.5`) in nanoseconds; further figures are dropped."""
    sign = -1 if text[:1] == b"-" else 1
    seconds, point, fraction = text.lstrip(b"-").partition(b".") if sign < 0 else text.partition(b".")
    if not seconds.isdigit() or (fraction and not fraction.isdigit()) or text[:2] == b"--":
        raise malformed(f"mtime is not a time: {text[:40]!r}")
    whole = min(int(seconds[:20]), MAX_SECONDS)
    return sign * (whole * NANOSECONDS + int(fraction[:9].ljust(9, b"0") if point and fraction else 0))


def format_time(nanoseconds: int) -> bytes:
    """The pax form of a time, as short as it is exact."""
    seconds, rest = divmod(abs(nanoseconds), NANOSECONDS)
    text = b"%d" % seconds
    if rest:
        text += b".%09d" % rest
        text = text.rstrip(b"0")
    return b"-" + text if nanoseconds < 0 else text


def parse_pax(data: bytes) -> list[tuple[bytes, bytes]]:
    """The records `length SP keyword=value LF` of an extended header, in order."""
    records: list[tuple[bytes, bytes]] = []
    position = 0
    end = len(data)
    while position < end:
        space = data.find(b" ", position, position + 12)
        figures = data[position:space] if space > 0 else b""
        if not figures.isdigit():
            if not data[position:].strip(b"\0"):  # some writers pad inside the size
                break
            raise malformed("a pax record does not begin with its length")
        after = position + int(figures)
        if after > end or after <= space + 1 or data[after - 1 : after] != b"\n":
            raise malformed("a pax record's length is wrong")
        keyword, equals, value = data[space + 1 : after - 1].partition(b"=")
        if not equals or not keyword or b"\0" in keyword:
            raise malformed("a pax record has no keyword")
        records.append((keyword, value))
        position = after
    return records


def format_pax(records: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The extended header of records; each record's length counts its own figures."""
    result = bytearray()
    for keyword, value in records:
        body = len(keyword) + len(value) + 3
        length = body + len(str(body))
        if len(str(length)) != len(str(body)):
            length += 1
        result += b"%d %s=%s\n" % (length, keyword, value)
    return bytes(result)


def padding(size: int) -> int:
    """Bytes from the end of `size` bytes of data to the next block."""
    return -size % BLOCK


def check_segments(
    segments: list[tuple[int, int]], size: int, data_size: int, name: bytes
) -> tuple[tuple[int, int], ...]:
    """A sparse map that is in order, inside the file, and describes exactly the data that the archive holds."""
    position = total = 0
    for offset, length in segments:
        if offset < position or length < 0 or offset + length > size:
            raise malformed("its sparse map is out of order or outside the file", name)
        position = offset + length
        total += length
    if total != data_size:
        raise malformed(f"its sparse map names {total} bytes, the archive holds {data_size}", name)
    return tuple(segment for segment in segments if segment[1])
