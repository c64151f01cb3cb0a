"""Statements about an image in an index: a manifest beside the image's, with a layer for each statement. Pure.

Sources: in-toto attestation framework 0.1, BuildKit's "Image attestation storage".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sandbox.image import digest as digests
from sandbox.image.layoutwriting import Attached, as_json, descriptor
from sandbox.image.manifest import CONFIG, MANIFEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sandbox.image.platform import Platform
    from sandbox.image.reference import Reference

_STATEMENT = "https://in-toto.io/Statement/v0.1"
_LAYER = "application/vnd.in-toto+json"


class Statement(NamedTuple):
    """What is said: a predicate and its type."""

    predicate_type: str
    predicate: dict[str, Any]


def attached(
    manifest: bytes, names: Iterable[Reference], platform: Platform, statements: Sequence[Statement]
) -> Attached:
    """The manifest with the statements about the image that has `manifest`."""
    digest = digests.of(manifest)
    subjects = [{"name": _locator(name, platform), "digest": {"sha256": digest.hex}} for name in names] or [
        {"name": "_", "digest": {"sha256": digest.hex}}
    ]
    blobs = [
        as_json(
            {"_type": _STATEMENT, "predicateType": one.predicate_type, "subject": subjects, "predicate": one.predicate}
        )
        for one in statements
    ]
    diff_ids = [digests.of(blob) for blob in blobs]
    configuration = as_json(
        {"architecture": "unknown", "os": "unknown", "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    )
    layers = [
        {**descriptor(_LAYER, blob), "annotations": {"in-toto.io/predicate-type": one.predicate_type}}
        for blob, one in zip(blobs, statements, strict=True)
    ]
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, configuration),
        "layers": layers,
    }
    annotations = {"vnd.docker.reference.digest": digest, "vnd.docker.reference.type": "attestation-manifest"}
    return Attached(as_json(document), (configuration, *blobs), annotations)


def _locator(name: Reference, platform: Platform) -> str:
    """A package URL of an image, as BuildKit writes it."""
    return f"pkg:docker/{name.familiar.replace(':', '@')}?platform={str(platform).replace('/', '%2F')}"
