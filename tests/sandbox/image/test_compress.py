"""Archives that are compressed on their way out."""

from __future__ import annotations

import gzip
import os

import pytest
import zstandard

from sandbox.image.compress import FORMS, Compressed


@pytest.mark.parametrize("form", FORMS)
def test_others_read_it(form: str) -> None:
    """Piece by piece, of any size, in the form that is asked for."""
    pieces: list[bytes | memoryview] = [b"a" * 1000, b"", os.urandom(300_000), memoryview(b"end")]
    written: list[bytes] = []
    compressed = Compressed(form, lambda data: written.append(bytes(data)))
    for piece in pieces:
        compressed.write(piece)
    compressed.close()
    data = b"".join(written)
    back = gzip.decompress(data) if form == "gzip" else zstandard.ZstdDecompressor().decompressobj().decompress(data)
    assert back == b"".join(map(bytes, pieces))
