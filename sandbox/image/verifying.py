"""Whether images are what they were: every file of their layers against its digest, their documents too.

For `ImageStore.mend` after a power loss, with the store lock held alone. A layer that cannot be written again, because
its archive had a file twice, cannot be told from a damaged one, and counts as such.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.errors import SandboxError
from sandbox.image import digest as digests

if TYPE_CHECKING:
    from sandbox.image.content import ContentStore
    from sandbox.image.digest import ChainID, Digest
    from sandbox.image.image import Entry
    from sandbox.image.snapshots import Snapshots


class Verifier:
    """Looks at images one by one, and remembers what was damaged: images that share it are damaged with it."""

    def __init__(self, content: ContentStore, snapshots: Snapshots) -> None:
        self._content = content
        self._snapshots = snapshots
        self._layers: dict[ChainID, bool] = {}
        self._documents: dict[Digest, bool] = {}

    def look_at(self, digest: Digest, entry: Entry | None) -> None:
        """Read everything of an image; without an entry a layer of that ChainID, nothing where there is none any
        more.
        """
        if entry is None:
            if self._snapshots.exists(digest):
                self._look_at_layer(digest)
            return
        for one in (digest, entry.manifest_digest):
            self._documents[one] = self._is_document(one)
        for layer in entry.layers:
            self._look_at_layer(layer.chain_id)

    def damaged_layers(self) -> frozenset[ChainID]:
        """Those that were found to be."""
        return frozenset(chain_id for chain_id, whole in self._layers.items() if not whole)

    def condemns(self, image_id: Digest, entry: Entry | None) -> bool:
        """Whether the image has something that was found to be damaged."""
        if entry is None:
            return False
        documents = (self._documents.get(digest, True) for digest in (image_id, entry.manifest_digest))
        return not (all(documents) and all(self._layers.get(layer.chain_id, True) for layer in entry.layers))

    def _look_at_layer(self, chain_id: ChainID) -> None:
        if chain_id not in self._layers:
            self._layers[chain_id] = self._is_layer(chain_id)

    def _is_document(self, digest: Digest) -> bool:
        try:
            return digests.of(self._content.read(digest)) == digest
        except SandboxError:
            return False

    def _is_layer(self, chain_id: ChainID) -> bool:
        try:
            for _ in self._snapshots.archive(chain_id):
                pass
        except (SandboxError, OSError, ValueError, EOFError):
            return False
        return True
