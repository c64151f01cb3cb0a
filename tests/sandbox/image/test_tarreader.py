"""Reading archives of every dialect, and refusing broken ones."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.errors import InvalidError, LimitError, SandboxError
from sandbox.image.limits import Limits
from sandbox.image.tarformat import BLOCK, Kind, TarEntry, checksum, format_pax
from sandbox.image.tarreader import TarReader
from sandbox.image.tarsource import TarSource
from tests.sandbox.image.archives import archive, member

if TYPE_CHECKING:
    from pathlib import Path

LIMITS = Limits()


class Trickle(io.RawIOBase):
    """A pipe that gives little at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        super().__init__()
        self._stream = io.BytesIO(data)
        self._step = step

    def read(self, size: int = -1, /) -> bytes:
        """At most `step` bytes."""
        return self._stream.read(min(size, self._step))


def read(
    data: bytes, *, limits: Limits = LIMITS, require_end: bool = True, step: int = 0
) -> list[tuple[TarEntry, bytes]]:
    """All entries with their contents."""
    stream = Trickle(data, step) if step else io.BytesIO(data)
    reader = TarReader(TarSource(stream, limit=limits.data), limits, require_end=require_end)
    return [(entry, b"".join(bytes(piece) for piece in reader.data())) for entry in reader]


def header(name: bytes = b"x", flag: bytes = b"0", size: int = 0, **fields: bytes) -> bytes:
    """A ustar header; `fields` are raw: uid, gid, raw_size, mode, mtime, magic, tail (from byte 345 on)."""
    block = bytearray(BLOCK)
    block[0 : len(name)] = name
    block[100:108] = fields.get("mode", b"0000644\0")
    block[108:116] = fields.get("uid", b"0000000\0")
    block[116:124] = fields.get("gid", b"0000000\0")
    block[124:136] = fields.get("raw_size", b"%011o\0" % size)
    block[136:148] = fields.get("mtime", b"00000000000\0")
    block[156:157] = flag
    block[157 : 157 + len(fields.get("target", b""))] = fields.get("target", b"")
    block[257:265] = fields.get("magic", b"ustar\x0000")
    tail = fields.get("tail", b"")
    block[345 : 345 + len(tail)] = tail
    block[329:345] = fields.get("device", b"0000000\x000000000\0")
    block[148:156] = b"%06o\0 " % checksum(bytes(block))
    return bytes(block)


END = bytes(2 * BLOCK)


def pax(*records: tuple[bytes, bytes], flag: bytes = b"x") -> bytes:
    """An extended header."""
    data = format_pax(records)
    return header(b"p", flag, len(data)) + data + bytes(-len(data) % BLOCK)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("step", [0, 1, 511, 700])
def test_every_kind_in_every_format(form: int, step: int) -> None:
    """Names, owners, targets, devices and contents as the standard library wrote them, however the stream trickles."""
    data = archive(
        member("d/", "dir", mode=0o1777, uid=7, gid=8),
        member("d/f", data=b"x" * 5000, mode=0o4755, mtime=12345),
        member("d/l", "link", target="d/f"),
        member("d/s", "symlink", target="../d"),
        member("d/c", "char", device=(5, 1)),
        member("d/b", "block", device=(8, 17)),
        member("d/p", "fifo"),
        member("empty"),
        form=form,
    )
    entries = read(data, step=step)
    assert [(entry.name.rstrip(b"/"), entry.kind) for entry, _ in entries] == [
        (b"d", Kind.DIRECTORY),
        (b"d/f", Kind.FILE),
        (b"d/l", Kind.LINK),
        (b"d/s", Kind.SYMLINK),
        (b"d/c", Kind.CHARACTER),
        (b"d/b", Kind.BLOCK),
        (b"d/p", Kind.FIFO),
        (b"empty", Kind.FILE),
    ]
    by_name = {entry.name.rstrip(b"/"): (entry, contents) for entry, contents in entries}
    directory = by_name[b"d"][0]
    assert (directory.mode, directory.uid, directory.gid) == (0o1777, 7, 8)
    file, contents = by_name[b"d/f"]
    assert (file.mode, file.mtime, contents) == (0o4755, 12345 * 10**9, b"x" * 5000)
    assert by_name[b"d/l"][0].target == b"d/f"
    assert by_name[b"d/s"][0].target == b"../d"
    assert (by_name[b"d/b"][0].major, by_name[b"d/b"][0].minor) == (8, 17)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_strange_names(form: int) -> None:
    """GNU's long names and pax paths, not UTF-8 included; large owners; fractions of a second."""
    name = "d/" * 100 + "ü" * 60 + "\udcff"
    data = archive(
        member(name, uid=3_000_000, gid=4_000_000, data=b"1"),
        member("s", "symlink", target="t" * 300),
        form=form,
    )
    (file, contents), (link, _) = read(data)
    assert file.name == os.fsencode(name)
    assert (file.uid, file.gid, contents) == (3_000_000, 4_000_000, b"1")
    assert link.target == b"t" * 300


def test_pax_fractions_and_attributes() -> None:
    """Nanoseconds and extended attributes, raw and as libarchive writes them."""
    data = archive(
        member(
            "f",
            pax={
                "mtime": "1700000000.123456789",
                "SCHILY.xattr.user.a": "va\nlue=1",
                "LIBARCHIVE.xattr.user.b%20c": "aGkh",
                "LIBARCHIVE.xattr.user.a": "aGkh",
                "comment": "ignored",
            },
        )
    )
    ((entry, _),) = read(data)
    assert entry.mtime == 1_700_000_000_123_456_789
    assert entry.xattrs == {b"user.a": b"va\nlue=1", b"user.b c": b"hi!"}


def test_v7_and_its_directories() -> None:
    """Headers without a magic; a directory is a name with a slash at its end."""
    data = header(b"d/", b"\0", magic=bytes(8)) + header(b"d/f", b"\0", 1, magic=bytes(8)) + b"x" + bytes(511) + END
    assert [(entry.name, entry.kind) for entry, _ in read(data)] == [(b"d/", Kind.DIRECTORY), (b"d/f", Kind.FILE)]


def test_global_headers_are_defaults() -> None:
    """They hold for what follows until a header of its own says otherwise; git's comment does no harm."""
    data = (
        pax((b"comment", b"0" * 40), (b"mtime", b"5"), flag=b"g")
        + header(b"a")
        + pax((b"mtime", b"6"))
        + header(b"b")
        + END
    )
    assert [entry.mtime for entry, _ in read(data)] == [5 * 10**9, 6 * 10**9]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--format=gnu"],
        ["--format=oldgnu"],
        ["--format=pax", "--sparse-version=0.0"],
        ["--format=pax", "--sparse-version=0.1"],
        ["--format=pax", "--sparse-version=1.0"],
    ],
)
def test_sparse_files_of_gnu_tar(tmp_path: Path, arguments: list[str]) -> None:
    """All of GNU tar's formats, with more segments than fit one header, and a file after it."""
    source = tmp_path / "sparse-file-with-a-name"
    with source.open("wb") as stream:
        for index in range(40):
            stream.seek(index * 65536)
            stream.write(b"%04d" % index)
        stream.truncate(40 * 65536 + 12345)
    (tmp_path / "z").write_bytes(b"after")
    made = subprocess.run(
        ["tar", "-C", tmp_path, "-c", "--sparse", *arguments, source.name, "z"], capture_output=True, check=True
    ).stdout
    (entry, contents), (after, rest) = read(made)
    assert (entry.name, entry.size, len(contents)) == (source.name.encode(), source.stat().st_size, entry.data_size)
    assert entry.segments is not None and len(entry.segments) == 40
    assert entry.data_size < source.stat().st_size / 4
    rebuilt = bytearray(entry.size)
    position = 0
    for offset, length in entry.segments:
        rebuilt[offset : offset + length] = contents[position : position + length]
        position += length
    assert rebuilt == source.read_bytes()
    assert (after.name, rest) == (b"z", b"after")


BROKEN = {
    "checksum": header()[:-1] + b"\1" + END,
    "text": b"this is no archive at all\n" * 40,
    "half a block": header()[:300],
    "no end marker": header(),
    "ends after pax": pax((b"path", b"y")) + END,
    "negative size": header(raw_size=b"\xff" * 12) + END,
    "size not octal": header(raw_size=b"0000000000x\0") + END,
    "contents cut short": header(size=1000) + b"x" * 512,
    "negative uid": header(uid=b"\xff" * 8) + END,
    "uid minus one": header(uid=b"\x80\0\0\0\xff\xff\xff\xff") + END,
    "huge uid": header(uid=b"\x80\0\0\1\0\0\0\0") + END,
    "unknown type": header(flag=b"Z") + END,
    "multi-volume": header(flag=b"M") + END,
    "empty name": header(b"") + END,
    "NUL in path": pax((b"path", b"a\0b")) + header() + END,
    "NUL in target": pax((b"linkpath", b"a\0b")) + header(flag=b"2") + END,
    "empty target": header(flag=b"2") + END,
    "pax size minus": pax((b"size", b"-1")) + header() + END,
    "pax size text": pax((b"size", b"1x")) + header() + END,
    "pax uid minus": pax((b"uid", b"-1")) + header() + END,
    "pax mtime text": pax((b"mtime", b"now")) + header() + END,
    "pax broken": header(b"p", b"x", 4) + b"99 a" + bytes(508) + header() + END,
    "global path": pax((b"path", b"/etc/passwd"), flag=b"g") + header() + END,
    "global size": pax((b"size", b"0"), flag=b"g") + header() + END,
    "global sparse": pax((b"GNU.sparse.map", b"0,1"), flag=b"g") + header() + END,
    "global attribute": pax((b"SCHILY.xattr.security.capability", b"x"), flag=b"g") + header() + END,
    "device": header(flag=b"3", device=b"7777777\x007777777\0") + END,
    "sparse unknown": pax((b"GNU.sparse.major", b"2"), (b"GNU.sparse.minor", b"0")) + header() + END,
    "sparse overlap": pax((b"GNU.sparse.map", b"0,8,4,8"), (b"GNU.sparse.size", b"100"))
    + header(size=16)
    + bytes(512)
    + END,
    "sparse outside": pax((b"GNU.sparse.map", b"96,8"), (b"GNU.sparse.size", b"100"))
    + header(size=8)
    + bytes(512)
    + END,
    "sparse sum": pax((b"GNU.sparse.map", b"0,8"), (b"GNU.sparse.size", b"100")) + header(size=9) + bytes(512) + END,
    "sparse odd": pax((b"GNU.sparse.map", b"0,8,9"), (b"GNU.sparse.size", b"100")) + header(size=8) + bytes(512) + END,
    "sparse minus": pax((b"GNU.sparse.map", b"-8,8"), (b"GNU.sparse.size", b"100")) + header(size=8) + bytes(512) + END,
    "sparse no size": pax((b"GNU.sparse.map", b"0,8")) + header(size=8) + bytes(512) + END,
    "sparse 0.0 order": pax((b"GNU.sparse.numbytes", b"8"), (b"GNU.sparse.offset", b"0"))
    + header(size=8)
    + bytes(512)
    + END,
    "sparse 1.0 text": pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"9"))
    + header(size=512)
    + b"x" * 512
    + END,
    "sparse 1.0 longer": pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"9"))
    + header(size=3)
    + b"1\n0\n2\n".ljust(512, b"\0")
    + END,
    "sparse 1.0 cut": pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"9"))
    + header(size=512)
    + b"9\n0\n2\n".ljust(512, b"0")
    + END,
    "attribute not base64": pax((b"LIBARCHIVE.xattr.user.a", b"a")) + header() + END,
    "attribute without name": pax((b"SCHILY.xattr.", b"a")) + header() + END,
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_archives_are_refused(name: str) -> None:
    """One clear line, never a traceback of ours, never a loop (CVE-2025-8194)."""
    with pytest.raises(InvalidError) as caught:
        read(BROKEN[name])
    assert caught.value.message.startswith("archive")
    assert caught.value.message.isprintable()


HUGE = {
    "pax header": (pax((b"comment", b"x" * 2000)) + header() + END, LIMITS._replace(header=1000)),
    "pax header that only says so": (header(b"p", b"x", 10**10) + END, LIMITS),
    "long name": (header(b"@", b"L", 2000) + b"n" * 2000 + bytes(48) + header() + END, LIMITS._replace(header=1000)),
    "path": (pax((b"path", b"a/" * 3000)) + header() + END, LIMITS),
    "target": (pax((b"linkpath", b"a/" * 3000)) + header(flag=b"2") + END, LIMITS),
    "globals in sum": (
        b"".join(pax((b"k%d" % index, b"x" * 600), flag=b"g") for index in range(3)) + header() + END,
        LIMITS._replace(header=1000),
    ),
    "entries": (header() * 11 + END, LIMITS._replace(entries=10)),
    "entries that are headers": (pax((b"comment", b"")) * 11 + header() + END, LIMITS._replace(entries=10)),
    "size 10^18": (header(raw_size=b"\x80\0\0\0" + struct.pack(">Q", 10**18)) + END, LIMITS),
    "data": (header(size=10**6) + bytes(10**6) + END, LIMITS._replace(data=10**5)),
    "sparse length": (pax((b"GNU.sparse.map", b""), (b"GNU.sparse.size", b"9" * 18)) + header() + END, LIMITS),
    "sparse segments": (
        pax((b"GNU.sparse.map", b"0,0," * 999 + b"0,0"), (b"GNU.sparse.size", b"1")) + header() + END,
        LIMITS._replace(sparse_segments=100),
    ),
    "sparse 1.0 segments": (
        pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"9"))
        + header(size=512)
        + b"99999999999\n".ljust(512, b"\0")
        + END,
        LIMITS,
    ),
    "bytes after the end": (header() + END + bytes(10**6), LIMITS._replace(data=10**5)),
}


@pytest.mark.parametrize("name", HUGE)
def test_limits(name: str) -> None:
    """Each bound stops the archive before memory or disk are taken."""
    data, limits = HUGE[name]
    with pytest.raises(SandboxError) as caught:
        read(data, limits=limits)
    # An empty map in sparse 0.1 is refused as no number; everything else is past a limit.
    assert isinstance(caught.value, InvalidError if name == "sparse length" else LimitError)


def test_an_end_marker_is_only_needed_when_asked_for() -> None:
    """Some tools write none; a layer with a verified digest may do without."""
    assert [entry.name for entry, _ in read(header(b"a"), require_end=False)] == [b"a"]


def test_what_follows_the_end_is_read_and_ignored() -> None:
    """It belongs to the layer's digest."""
    data = header(b"a") + END + b"junk" * 1000
    source = TarSource(io.BytesIO(data), limit=1 << 20)
    assert [entry.name for entry in TarReader(source, LIMITS)] == [b"a"]
    assert source.count == len(data)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_archives_never_do_anything_else(data: st.DataObject) -> None:
    """Any bytes changed anywhere: entries or one of our errors."""
    base = bytearray(
        archive(
            member("d/", "dir"),
            member("d/ü" * 40, data=b"x" * 600, pax={"SCHILY.xattr.user.a": "1"}),
            member("l", "link", target="d"),
        )
    )
    for _ in range(data.draw(st.integers(1, 4))):
        base[data.draw(st.integers(0, len(base) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(base)))
    with contextlib.suppress(SandboxError):
        read(bytes(base[:cut]), require_end=False)
