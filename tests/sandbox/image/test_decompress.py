"""Compressed streams."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import resource
import zlib
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import InvalidError, LimitError
from sandbox.image.decompress import open_stream
from sandbox.image.limits import Limits
from sandbox.image.tarreader import TarReader
from sandbox.image.tarsource import TarSource

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = os.urandom(300_000) + bytes(2_000_000) + os.urandom(10)
FORMS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "xz": lzma.compress, "bzip2": bz2.compress}


def read_all(data: bytes, step: int = 10_000) -> bytes:
    """Everything, in small reads."""
    stream = open_stream(io.BytesIO(data))
    parts = []
    while part := stream.read(step):
        assert len(part) <= step
        parts.append(part)
    assert stream.read(step) == b""
    return b"".join(parts)


@pytest.mark.parametrize("form", FORMS)
def test_formats_are_known_by_their_first_bytes(form: str) -> None:
    """Whatever the file is called."""
    assert read_all(FORMS[form](DATA)) == DATA


@pytest.mark.parametrize("form", FORMS)
def test_several_members_and_padding(form: str) -> None:
    """Files put one after another are one stream; zeros at the end do not count."""
    assert read_all(FORMS[form](DATA[:1000]) + FORMS[form](DATA[:2000]) + bytes(700)) == DATA[:1000] + DATA[:2000]


@pytest.mark.parametrize("data", [b"", b"x", b"plain text", DATA[:5000]])
def test_anything_else_is_left_as_it_is(data: bytes) -> None:
    """Also what is shorter than any magic number."""
    assert read_all(data) == data


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("damage", ["cut", "flip", "garbage"])
def test_damage_is_an_error(form: str, damage: str) -> None:
    """Never fewer bytes in silence."""
    packed = bytearray(FORMS[form](DATA))
    if damage == "cut":
        del packed[-20:]
    elif damage == "flip":
        packed[len(packed) // 2] ^= 0xFF
        packed[-6] ^= 0xFF
    else:
        packed += b"garbage"
    with pytest.raises(InvalidError, match=form):
        read_all(bytes(packed))


@pytest.mark.parametrize("form", FORMS)
def test_a_bomb_stops_at_the_limit(form: str) -> None:
    """Neither memory nor time for what lies behind it: gigabytes of zeros compress to next to nothing."""
    bomb: bytes
    if form == "gzip":
        packer = zlib.compressobj(9, wbits=31)
        bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    else:
        bomb = FORMS[form](bytes(1 << 22)) * 128
    limits = Limits(data=8 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reader = TarReader(TarSource(open_stream(io.BytesIO(bomb)), limit=limits.data), limits)
    with pytest.raises(LimitError, match="8388608 bytes"):
        list(reader)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB
