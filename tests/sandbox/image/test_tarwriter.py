"""What is written is what is read, by us and by others."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sandbox.errors import InvalidError
from sandbox.image.limits import Limits
from sandbox.image.tarformat import Kind, TarEntry
from sandbox.image.tarreader import TarReader
from sandbox.image.tarsource import TarSource
from sandbox.image.tarwriter import TarWriter

if TYPE_CHECKING:
    from pathlib import Path

name_part = st.binary(min_size=1, max_size=120).map(lambda part: part.replace(b"\0", b"0").replace(b"/", b"_"))
names = st.lists(name_part, min_size=1, max_size=6).map(b"/".join)
ids = st.integers(0, 2**32 - 2)
times = st.integers(-(2**40) * 10**9, 2**40 * 10**9) | st.integers(0, 2**33).map(lambda second: second * 10**9)
attributes = st.dictionaries(
    st.binary(min_size=1, max_size=30).map(lambda key: b"user." + key.replace(b"\0", b"0").replace(b"=", b"-")),
    st.binary(max_size=100),
    max_size=3,
)


@st.composite
def entries(draw: st.DrawFn) -> tuple[TarEntry, bytes]:
    """Any entry with its contents."""
    kind = draw(st.sampled_from(Kind))
    contents = b""
    size = 0
    segments: tuple[tuple[int, int], ...] | None = None
    if kind is Kind.FILE:
        if draw(st.booleans()):
            contents = draw(st.binary(max_size=1500))
            size = len(contents)
        else:
            gaps = draw(st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 300)), max_size=30))
            position, found = 0, []
            for gap, length in gaps:
                found.append((position + gap, length))
                position += gap + length
            segments = tuple(found)
            contents = os.urandom(sum(length for _, length in segments))
            size = position + draw(st.integers(0, 10**10))
    link = kind in (Kind.LINK, Kind.SYMLINK)
    device = kind in (Kind.CHARACTER, Kind.BLOCK)
    return (
        TarEntry(
            draw(names),
            kind,
            draw(st.integers(0, 0o7777)),
            draw(ids),
            draw(ids),
            size,
            draw(times),
            draw(names) if link else b"",
            draw(st.integers(0, 4095)) if device else 0,
            draw(st.integers(0, 2**20 - 1)) if device else 0,
            draw(attributes),
            segments,
        ),
        contents,
    )


def write(made: list[tuple[TarEntry, bytes]]) -> bytes:
    """The archive of these entries."""
    stream = io.BytesIO()
    writer = TarWriter(stream.write)
    for entry, contents in made:
        writer.add(entry, (contents,) if contents else ())
    writer.close()
    return stream.getvalue()


def same(entry: TarEntry) -> TarEntry:
    """Directories are written with a slash at the end."""
    return entry._replace(name=entry.name.rstrip(b"/"))


@settings(max_examples=200, deadline=None)
@given(st.lists(entries(), max_size=5))
def test_round_trip(made: list[tuple[TarEntry, bytes]]) -> None:
    """Every field of every kind of entry, and the bytes are the same each time."""
    data = write(made)
    assert write(made) == data
    assert len(data) % 512 == 0
    reader = TarReader(TarSource(io.BytesIO(data), limit=1 << 40), Limits(), require_end=True)
    found = [(same(entry), b"".join(bytes(piece) for piece in reader.data())) for entry in reader]
    assert found == [(same(entry), contents) for entry, contents in made]


@settings(max_examples=100, deadline=None)
@given(st.lists(entries(), max_size=3))
@example([(TarEntry("é".encode(), segments=()), b"")])
@example([(TarEntry(b"x" * 101, segments=()), b"")])
def test_the_standard_library_reads_it(made: list[tuple[TarEntry, bytes]]) -> None:
    """Names, sizes, owners and contents, also of sparse files."""
    with tarfile.open(fileobj=io.BytesIO(write(made)), encoding="utf-8", errors="surrogateescape") as tar:
        found = tar.getmembers()
        assert [os.fsencode(info.name) for info in found] == [entry.name.rstrip(b"/") for entry, _ in made]
        for info, (entry, contents) in zip(found, made, strict=True):
            assert (info.uid, info.gid, info.mode) == (entry.uid, entry.gid, entry.mode)
            if entry.kind is Kind.FILE:
                assert info.size == entry.size
                if entry.segments is None:
                    stream = tar.extractfile(info)
                    assert stream is not None and stream.read() == contents


def test_gnu_tar_extracts_it(tmp_path: Path) -> None:
    """Long names, names that are not UTF-8, sparse files, fractions of a second."""
    long_name = b"d/" + b"x" * 120 + b"/" + b"\xff\xfe" * 60
    data = write(
        [
            (TarEntry(b"d", Kind.DIRECTORY, 0o755), b""),
            (TarEntry(long_name, size=3, mtime=1_234_567_890_123_456_789), b"abc"),
            (TarEntry(b"d/sparse", size=1 << 20, segments=((4096, 512), (8192, 4))), b"a" * 512 + b"bbbb"),
        ]
    )
    subprocess.run(["tar", "-C", tmp_path, "-x"], input=data, check=True)
    status = (tmp_path / os.fsdecode(long_name)).stat()
    assert (status.st_size, status.st_mtime_ns) == (3, 1_234_567_890_123_456_789)
    sparse = (tmp_path / "d" / "sparse").read_bytes()
    assert len(sparse) == 1 << 20
    assert (sparse[4096:4100], sparse[8192:8196], sparse.strip(b"\0")[:4]) == (b"aaaa", b"bbbb", b"aaaa")


@pytest.mark.parametrize("size", [2, 4])
def test_contents_of_another_length_are_refused(size: int) -> None:
    """A file that changed while it was read must not give an archive that means something else."""
    writer = TarWriter(lambda _: None)
    with pytest.raises(InvalidError, match="not as long"):
        writer.add(TarEntry(b"f", size=size), (b"abc",))


def test_simple_entries_need_no_pax_header() -> None:
    """An ordinary file is one header and its blocks."""
    assert len(write([(TarEntry(b"usr/bin/x", size=1, mtime=10**18), b"x")])) == 512 * 4
