"""Manifests and image configurations."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox.errors import InvalidError
from sandbox.image import digest as digests
from sandbox.image import manifest as manifests
from sandbox.image.config import ImageConfig
from sandbox.image.manifest import Descriptor, HistoryEntry, ImageDocument, Manifest

D = digests.of(b"d")
MANIFEST = Manifest(
    config=Descriptor(media_type=manifests.CONFIG, digest=D, size=2),
    layers=(Descriptor(media_type=manifests.LAYER, digest=D, size=3, unknown={"annotations": {"a": "b"}}),),
    unknown={"annotations": {"x": "y"}},
)
DOCUMENT = ImageDocument(
    architecture="amd64",
    created="2025-01-01T00:00:00Z",
    config=ImageConfig(command=("sh",), environment={"Ü": "ß"}),
    diff_ids=(D,),
    history=(HistoryEntry(created_by="x"), HistoryEntry(comment="y", empty_layer=True)),
    unknown={"author": "me", "variant": "v8"},
)


def test_manifest_both_ways() -> None:
    """Nothing is lost, and the same manifest is the same bytes."""
    data = manifests.dump_manifest(MANIFEST)
    assert manifests.parse_manifest(data, media_type=manifests.MANIFEST) == MANIFEST
    assert manifests.dump_manifest(manifests.parse_manifest(data)) == data


def test_document_both_ways() -> None:
    """Nothing is lost, and the same configuration is the same bytes."""
    data = manifests.dump_document(DOCUMENT)
    assert manifests.parse_document(data) == DOCUMENT
    assert manifests.dump_document(manifests.parse_document(data)) == data


def change(**fields: Any) -> bytes:
    """The manifest with some fields replaced."""
    return json.dumps({**json.loads(manifests.dump_manifest(MANIFEST)), **fields}).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        change(schemaVersion=1),
        change(mediaType="application/vnd.oci.image.index.v1+json"),
        change(mediaType=5),
        change(manifests=[]),
        change(fsLayers=[]),
        change(layers={}),
        change(layers=[7]),
        change(config=None),
        change(config={"mediaType": "x", "digest": "sha256:../../x", "size": 1}),
        change(config={"mediaType": "x", "digest": D, "size": -1}),
        change(config={"mediaType": "x", "digest": D, "size": True}),
    ],
)
def test_ambiguous_or_broken_manifests_are_refused(data: bytes) -> None:
    """What could be an index as well (CVE-2021-41190) or has a digest that is a path (CVE-2024-3727) is refused."""
    with pytest.raises(InvalidError):
        manifests.parse_manifest(data)


def test_media_type_must_be_the_one_it_came_as() -> None:
    """A document that calls itself something else than its sender did is refused."""
    with pytest.raises(InvalidError, match="came as"):
        manifests.parse_manifest(manifests.dump_manifest(MANIFEST), media_type=manifests.DOCKER_MANIFEST)


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b'{"rootfs": {"diff_ids": "x"}}',
        b'{"rootfs": {"diff_ids": ["x"]}}',
        b'{"rootfs": {"diff_ids": []}, "os": 1}',
    ],
)
def test_broken_configurations_are_refused(data: bytes) -> None:
    """Without a list of digests there is no image."""
    with pytest.raises(InvalidError):
        manifests.parse_document(data)
