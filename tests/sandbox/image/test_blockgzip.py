"""gzip in blocks."""

from __future__ import annotations

import gzip
import io
import zlib

from hypothesis import given
from hypothesis import strategies as st

from sandbox.image.blockgzip import BlockGzip
from sandbox.image.decompress import open_stream


def packed(*pieces: bytes, threads: int = 2) -> bytes:
    """The pieces, compressed."""
    stream = io.BytesIO()
    with BlockGzip(stream.write, threads) as writer:
        for piece in pieces:
            writer.write(piece)
        writer.close()
    return stream.getvalue()


@given(st.lists(st.binary(max_size=300)))
def test_every_reader_takes_it(pieces: list[bytes]) -> None:
    """The standard library's, zlib's own with one member alone, and ours."""
    whole = b"".join(pieces)
    data = packed(*pieces)
    assert gzip.decompress(data) == whole
    inflate = zlib.decompressobj(wbits=31)
    assert inflate.decompress(data) == whole and inflate.eof and inflate.unused_data == b""
    stream, read = open_stream(io.BytesIO(data)), b""
    while more := stream.read(1 << 16):
        read += more
    assert read == whole


def test_the_same_input_gives_the_same_bytes() -> None:
    """However it is cut, and whatever the number of threads."""
    data = bytes(range(256)) * 20_000
    cut = [data[start : start + 70_001] for start in range(0, len(data), 70_001)]
    assert packed(data) == packed(*cut) == packed(*cut, threads=1)
    assert len(packed(data)) < len(data) / 10
