"""Secrets never reach the log, however the output is cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runners.masking import STARS, Masker, mask_patterns


def masked(patterns: tuple[bytes, ...], *chunks: bytes) -> bytes:
    """What comes out of a stream in these chunks."""
    masker = Masker(patterns)
    return b"".join(masker.feed(chunk) for chunk in chunks) + masker.end()


def test_a_secret_is_replaced() -> None:
    """A secret inside a line becomes stars, the rest stays."""
    assert masked(mask_patterns(["hunter22"]), b"user=a password=hunter22;\n") == b"user=a password=********;\n"


@pytest.mark.parametrize("cut", range(20))
def test_a_secret_across_chunks_is_replaced(cut: int) -> None:
    """Wherever the stream is cut, the result is the same."""
    text = b"x hunter22 hunter y\n"
    assert masked(mask_patterns(["hunter22"]), text[:cut], text[cut:]) == b"x ******** hunter y\n"


def test_each_line_of_a_long_secret_is_replaced() -> None:
    """A key of several lines is hidden also when it is printed indented or line by line."""
    key = "-----BEGIN KEY-----\n  AAAABBBB\r\n{\n}\n-----END KEY-----\n"
    out = masked(mask_patterns([key]), b"> AAAABBBB\n> -----END KEY-----\n{ }\n")
    assert out == b"> ********\n> ********\n{ }\n"


def test_short_lines_mask_nothing() -> None:
    """A secret of fewer than four characters would blank the log: it is left alone."""
    assert mask_patterns(["{", "abc", "", "\n\n", "ünö"]) == ()
    assert masked(mask_patterns(["abc"]), b"abc\n") == b"abc\n"


def test_the_beginning_of_a_secret_is_shown_in_the_end() -> None:
    """Bytes held back because they look like a secret's beginning are not lost."""
    masker = Masker(mask_patterns(["hunter22"]))
    assert masker.feed(b"ask hunt") == b"ask "
    assert masker.feed(b"ing\n") == b"hunting\n"
    assert masker.feed(b"hunt") == b""
    assert masker.end() == b"hunt"


def test_overlapping_secrets_leave_nothing() -> None:
    """Where two secrets overlap, both are hidden whole."""
    assert masked(mask_patterns(["abcd", "cdef"]), b"xabcdefx") == b"x" + STARS + b"x"
    assert masked(mask_patterns(["abcd", "cdef"]), b"xabcd", b"efx") == b"x" + STARS + b"x"
    assert masked(mask_patterns(["abcd", "abcdefgh"]), b"abcd", b"efgh") == STARS


def test_output_that_is_one_long_secret_is_bounded() -> None:
    """A stream that repeats a secret for ever is given out as it comes, not gathered."""
    masker = Masker(mask_patterns(["aaaa"]))
    out = b"".join(masker.feed(b"a" * 1000) for _ in range(100))
    assert len(masker._held) < 4
    assert out + masker.end() == STARS


@given(
    secrets=st.lists(st.text("ab", min_size=4, max_size=7), min_size=1, max_size=3),
    text=st.text("abc\n", max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=4),
)
def test_chunks_do_not_matter(secrets: list[str], text: str, cuts: list[int]) -> None:
    """For any text, secrets and cuts the result is that of the text in one piece, and holds no secret."""
    data = text.encode()
    patterns = mask_patterns(secrets)
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    pieces = [data[a:b] for a, b in itertools.pairwise(edges)]
    out = masked(patterns, *pieces)
    assert out == masked(patterns, data)
    assert not any(pattern in out for pattern in patterns)
