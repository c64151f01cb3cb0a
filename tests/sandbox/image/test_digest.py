"""Digests and chains."""

from __future__ import annotations

import hashlib

import pytest

from sandbox.errors import InvalidError
from sandbox.image import digest as digests

A = digests.of(b"a")
B = digests.of(b"b")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        "sha256:../../etc/passwd",
        "sha256:" + "A" * 64,
        "sha256:" + "a" * 63,
        "sha512:" + "a" * 128,
        None,
        7,
    ],
)
def test_what_is_no_digest_is_refused(text: object) -> None:
    """Only `sha256:` and 64 lower-case figures may become part of a path."""
    with pytest.raises(InvalidError, match="not a sha256 digest"):
        digests.parse(text)


def test_of_is_sha256() -> None:
    """The quick hash for small documents is the same as hashlib's."""
    assert digests.of(b"abc") == "sha256:" + hashlib.sha256(b"abc").hexdigest()
    assert A.hex == A.removeprefix("sha256:")
    assert len(A.short) == 12


def test_chain_of_one_layer_is_its_diff_id() -> None:
    """The specification's base case."""
    assert digests.chain_ids([A]) == (A,)
    assert digests.chain_ids([]) == ()


def test_chain_is_the_specifications() -> None:
    """ChainID(A|B) = digest of ChainID(A), a space, DiffID(B)."""
    expected = "sha256:" + hashlib.sha256(f"{A} {B}".encode()).hexdigest()
    assert digests.chain_ids([A, B]) == (A, expected)
    assert digests.chain_id(A, B) == expected
