"""An OCI layout of one image for several platforms, or of one with attestations: an index of manifests.

One plain image is described by its manifest alone. Called by the builder; `saving` writes the members. The same images
always give the same bytes. Source: OCI image-spec image-layout.md, image-index.md.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sandbox.image import digest as digests
from sandbox.image.manifest import INDEXES, MANIFEST
from sandbox.image.saving import LAYOUT, Member
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sandbox.image.image import LayerRecord
    from sandbox.image.reference import Reference
    from sandbox.image.store import ImageStore

INDEX = INDEXES[0]
_BLOBS = "blobs/sha256/"


class Attached(NamedTuple):
    """A manifest beside an image's, of nothing that can be run; `blobs` are all that it refers to."""

    manifest: bytes
    blobs: tuple[bytes, ...]
    annotations: Mapping[str, str]


class LayoutImage(NamedTuple):
    """An image for a platform: os, architecture, variant."""

    configuration: bytes
    manifest: bytes
    layers: tuple[LayerRecord, ...]
    platform: tuple[str, ...]
    attached: tuple[Attached, ...] = ()


class Root(NamedTuple):
    """What the layout's name stands for: a manifest or an index."""

    media_type: str
    digest: str
    size: int


class Layout(NamedTuple):
    """`members` are written in this order; `configuration` is the image's id, empty for an index."""

    root: Root
    configuration: str
    members: Iterator[Member]


def layout(
    store: ImageStore,
    images: Sequence[LayoutImage],
    names: Sequence[Reference],
    annotations: Mapping[str, str],
) -> Layout:
    """A layout of the images, whose layers the caller has leased; `annotations` are the index's."""
    single = len(images) == 1 and not images[0].attached
    if single:
        index = b""
        root = Root(MANIFEST, digests.of(images[0].manifest), len(images[0].manifest))
    else:
        index = index_of(images, annotations)
        root = Root(INDEX, digests.of(index), len(index))
    configuration = digests.of(images[0].configuration) if single else ""
    return Layout(root, configuration, _members(store, images, index, root, names))


def index_of(images: Sequence[LayoutImage], annotations: Mapping[str, str]) -> bytes:
    """The bytes of an index of the images and of what is attached to them; `annotations` are its own."""
    listed: list[dict[str, Any]] = []
    for image in images:
        fields = dict(zip(("os", "architecture", "variant"), image.platform, strict=False))
        platform = {name: value for name, value in fields.items() if value}
        listed.append({**descriptor(MANIFEST, image.manifest), "platform": platform})
    for image in images:
        for one in image.attached:
            nothing = {"architecture": "unknown", "os": "unknown"}
            entry = {**descriptor(MANIFEST, one.manifest), "annotations": dict(one.annotations), "platform": nothing}
            listed.append(entry)
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}
    return as_json({**document, **({"annotations": dict(annotations)} if annotations else {})})


def _members(
    store: ImageStore, images: Sequence[LayoutImage], index: bytes, root: Root, names: Sequence[Reference]
) -> Iterator[Member]:
    written: set[str] = set()
    for image in images:
        for layer in image.layers:
            if layer.diff_id not in written:
                written.add(layer.diff_id)
                yield Member(_BLOBS + layer.diff_id.hex, layer.tar_size, store.snapshots.archive(layer.chain_id))
        blobs = [image.configuration, image.manifest]
        for one in image.attached:
            blobs += [*one.blobs, one.manifest]
        for blob in blobs:
            if (digest := digests.of(blob)) not in written:
                written.add(digest)
                yield Member(_BLOBS + digest.hex, len(blob), (blob,))
    if index:
        yield Member(_BLOBS + digests.of(index).hex, len(index), (index,))
    entry = {"mediaType": root.media_type, "digest": root.digest, "size": root.size}
    listed = [
        {
            **entry,
            "annotations": {
                "io.containerd.image.name": name.canonical,
                "org.opencontainers.image.ref.name": name.tag,
            },
        }
        for name in names
    ] or [entry]
    top = as_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed})
    yield Member("oci-layout", len(LAYOUT), (LAYOUT,))
    yield Member("index.json", len(top), (top,))


def descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    """What stands for a blob in a manifest or an index."""
    return {"mediaType": media_type, "digest": digests.of(data), "size": len(data)}


def as_json(value: object) -> bytes:
    """The bytes of a document, always the same for the same value."""
    return json.dumps(value, separators=(",", ":")).encode("ascii")
