"""What builds remember, as a document beside layers: in a folder, in a registry, or in an image's configuration.

It has the form of BuildKit's cache configuration: layers, and records of keys. The keys are ours, which a layer's place
on others is part of, so that each builder finds only its own. Whoever takes a cache trusts its maker as much as an
image's: a key tells the sources, not what was made of them. Pure. Source: BuildKit, cache/remotecache/v1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.errors import InvalidError
from sandbox.image import digest as digests
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox.image.buildcache import CachedStep
    from sandbox.image.digest import ChainID, DiffID, Digest
    from sandbox.image.image import LayerRecord
    from sandbox.image.manifest import Descriptor

CONFIG = "application/vnd.buildkit.cacheconfig.v0"  # the type of the document where it is a blob
INLINE = "hako.cache.v0"  # its name in an image's configuration
_CHAIN = "hako.chain-id"  # of a layer: what it lies on counts, too
_DIFF = "containerd.io/uncompressed"


class RemoteLayer(NamedTuple):
    """A layer of a cache: its archive, its place on others, and the blob that it lies there as."""

    diff_id: DiffID
    chain_id: ChainID
    blob: Descriptor


class RemoteStep(NamedTuple):
    """A step of a cache: its layer, None where it changed nothing, and when it was made (RFC 3339)."""

    layer: RemoteLayer | None
    created: str


class CacheIndex:
    """The steps of a document, by their keys. `blobs` are the layers beside it by the names that it has for them.

    Raises InvalidError where it is no such document.
    """

    def __init__(self, document: Any, blobs: Mapping[str, Descriptor]) -> None:
        self._steps: dict[str, RemoteStep] = {}
        try:
            layers = [
                RemoteLayer(
                    digests.parse(layer["annotations"][_DIFF]),
                    digests.parse(layer["annotations"][_CHAIN]),
                    blobs[layer["blob"]],
                )
                for layer in document["layers"]
            ]
            for record in document["records"]:
                (found,) = record["layers"]
                number = found["layer"]
                layer = None if number == -1 else layers[number]
                self._steps[digests.parse(record["digest"])] = RemoteStep(layer, str(found["createdAt"]))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise InvalidError(f"no cache of builds: {type(error).__name__} at {error}") from None

    def find(self, key: str, below: ChainID | None) -> RemoteStep | None:
        """The step of a key, if its layer belongs on top of `below`."""
        found = self._steps.get(digests.from_hex(key))
        if found is None or found.layer is None:
            return found
        return found if digests.chain_id(below, found.layer.diff_id) == found.layer.chain_id else None


def layers_of(steps: Mapping[str, CachedStep]) -> list[LayerRecord]:
    """The layers that steps made, each once."""
    return list({step.layer.chain_id: step.layer for step in steps.values() if step.layer is not None}.values())


def describe(steps: Mapping[str, CachedStep], layers: Sequence[LayerRecord], blobs: Sequence[Digest]) -> dict[str, Any]:
    """The document of steps, by their keys, whose layers lie beside it as `blobs`."""
    places = {layer.chain_id: number for number, layer in enumerate(layers)}
    return {
        "layers": [
            {"blob": blob, "annotations": {_CHAIN: layer.chain_id, _DIFF: layer.diff_id}}
            for layer, blob in zip(layers, blobs, strict=True)
        ],
        "records": [
            {
                "digest": digests.from_hex(key),
                "layers": [{"layer": places[step.layer.chain_id] if step.layer else -1, "createdAt": step.created}],
            }
            for key, step in steps.items()
        ],
    }
