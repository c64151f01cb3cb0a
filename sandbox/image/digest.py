"""Digests as the OCI image specification names them: of blobs, of layers (DiffID) and of chains of layers (ChainID).

Everything in the store is named by one of these. Only SHA-256 is kept; text from outside goes through `parse` before it
becomes part of a path (CVE-2024-3727: `sha256:../../…`). Source: OCI image-spec, descriptor.md and config.md "Layer
ChainID".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX = "sha256:"
HEX_LENGTH = 64
_HEX = "0123456789abcdef"


class Digest(str):
    """`sha256:` and 64 lower-case hexadecimal figures; made by `parse` and `of` only."""

    __slots__ = ()

    @property
    def hex(self) -> str:
        """The 64 figures, safe as a file name."""
        return self[len(PREFIX) :]

    @property
    def short(self) -> str:
        """The 12 figures that people are shown."""
        return self[len(PREFIX) : len(PREFIX) + 12]


DiffID = Digest  # of a layer's uncompressed tar
ChainID = Digest  # of a layer on top of all layers below it


def is_hex(text: str) -> bool:
    """Whether `text` is lower-case hexadecimal and not empty."""
    return bool(text) and not text.strip(_HEX)


def parse(text: object) -> Digest:
    """Check a digest from outside. Raises InvalidError for anything but a complete SHA-256."""
    if isinstance(text, Digest):
        return text
    if isinstance(text, str) and text.startswith(PREFIX):
        figures = text[len(PREFIX) :]
        if len(figures) == HEX_LENGTH and is_hex(figures):
            return Digest(text)
    raise InvalidError(f"not a sha256 digest: {str(text)[:100]!r}", reference="invalid-digest")


def from_hex(figures: str) -> Digest:
    """The digest of 64 figures, as file names of the store hold them."""
    return parse(PREFIX + figures)


def of(data: bytes) -> Digest:
    """The digest of bytes in memory."""
    # The interpreter's own SHA-256 is slower on long input than OpenSSL's, but costs no 4 ms of import; large streams
    # are hashed where they are read, with hashlib.
    try:
        from _sha256 import sha256  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415
    except ImportError:  # Python 3.12 renamed the module
        from hashlib import sha256  # noqa: PLC0415
    return Digest(PREFIX + sha256(data).hexdigest())


def chain_id(parent: ChainID | None, diff_id: DiffID) -> ChainID:
    """The ChainID of a layer over `parent`; the lowest layer's is its DiffID."""
    if parent is None:
        return diff_id
    return of(f"{parent} {diff_id}".encode("ascii"))


def chain_ids(diff_ids: Iterable[DiffID]) -> tuple[ChainID, ...]:
    """The ChainIDs of layers given bottom first."""
    chain: list[ChainID] = []
    for diff_id in diff_ids:
        chain.append(chain_id(chain[-1] if chain else None, diff_id))
    return tuple(chain)
