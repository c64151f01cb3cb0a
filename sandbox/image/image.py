"""The records of a stored image, as the store hands them out to everybody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from sandbox.image.config import ImageConfig
    from sandbox.image.digest import ChainID, DiffID, Digest


class LayerRecord(NamedTuple):
    """One layer, unpacked in the store. `size` is the bytes of its files, hard links once; `tar_size` its archive's."""

    diff_id: DiffID
    chain_id: ChainID
    size: int
    tar_size: int


class Entry(NamedTuple):
    """What the store's record of an image says."""

    manifest_digest: Digest
    layers: tuple[LayerRecord, ...]


class Image(NamedTuple):
    """A stored image. `id` is the digest of its configuration, as docker's is; `references` are in familiar form,
    sorted.
    """

    id: Digest
    manifest_digest: Digest
    references: tuple[str, ...]
    config: ImageConfig
    layers: tuple[LayerRecord, ...]  # bottom first
    created: str  # RFC 3339, empty when the image does not say
    architecture: str
    os: str

    @property
    def size(self) -> int:
        """Bytes of all layers, as if nothing were shared."""
        return sum(layer.size for layer in self.layers)

    @property
    def chain_id(self) -> ChainID | None:
        """The ChainID of the topmost layer; `None` of an image without layers."""
        return self.layers[-1].chain_id if self.layers else None
