"""The two documents of an image, made and read: the OCI manifest and the image configuration around
`config.ImageConfig`.

Loaded when images are made, shown or moved; `sandbox run` does without. What is made is always the same bytes for the
same image. Reading is strict where documents could be taken for one another (CVE-2021-41190). Source: OCI image-spec
manifest.md, config.md.
"""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sandbox.errors import InvalidError
from sandbox.image import config as configs
from sandbox.image import digest as digests
from sandbox.image.config import ImageConfig
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sandbox.image.digest import DiffID, Digest

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
LAYERS = frozenset(  # what is in them is told by their first bytes
    (
        *(LAYER, f"{LAYER}+gzip", f"{LAYER}+zstd"),
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.docker.image.rootfs.diff.tar.zstd",
    )
)
# Architectures as Go names them, by the machine of uname(2).
ARCHITECTURES: Mapping[str, str] = {"x86_64": "amd64", "aarch64": "arm64"}
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Descriptor(NamedTuple):
    """A reference from one document to a blob."""

    media_type: str
    digest: Digest
    size: int  # bytes
    unknown: Mapping[str, Any] = _NOTHING  # annotations, urls, platform, …

    @staticmethod
    def parse(data: object) -> Descriptor:
        """A decoded descriptor. Raises InvalidError."""
        return _descriptor(data)


class Manifest(NamedTuple):
    """An image manifest: its configuration and its layers, bottom first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: str = MANIFEST
    unknown: Mapping[str, Any] = _NOTHING


class HistoryEntry(NamedTuple):
    """One line of `history`; `empty_layer` when it made no layer."""

    created: str = ""  # RFC 3339
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


class ImageDocument(NamedTuple):
    """An image configuration, whole. Its digest is the image's id."""

    architecture: str
    os: str = "linux"
    created: str = ""  # RFC 3339
    config: ImageConfig = ImageConfig()
    diff_ids: tuple[DiffID, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    unknown: Mapping[str, Any] = _NOTHING  # author, variant, os.version, docker's own, …


def dump_manifest(manifest: Manifest) -> bytes:
    """The bytes of a manifest."""
    return _bytes(
        {
            **manifest.unknown,
            "schemaVersion": 2,
            "mediaType": manifest.media_type,
            "config": _dump_descriptor(manifest.config),
            "layers": [_dump_descriptor(layer) for layer in manifest.layers],
        }
    )


def parse_manifest(data: bytes, *, media_type: str | None = None) -> Manifest:
    """Read a manifest that came as `media_type` (if that is known). Raises InvalidError."""
    document = _object(data, "manifest")
    said = document.get("mediaType")
    if said is not None and (not isinstance(said, str) or (media_type is not None and said != media_type)):
        raise _invalid("manifest", f"it says it is {said!r}, and came as {media_type!r}")
    form = said or media_type or MANIFEST
    if form not in (MANIFEST, DOCKER_MANIFEST):
        raise _invalid("manifest", f"{form!r} is not the type of an image manifest")
    if document.get("schemaVersion") != 2 or "manifests" in document or "fsLayers" in document:
        raise _invalid("manifest", "it is not an image manifest of version 2, or could be taken for something else")
    layers = document.get("layers")
    if not isinstance(layers, list):
        raise _invalid("manifest", "layers is not a list")
    return Manifest(
        config=_descriptor(document.get("config")),
        layers=tuple(_descriptor(layer) for layer in layers),
        media_type=form,
        unknown=_rest(document, "schemaVersion", "mediaType", "config", "layers"),
    )


def dump_document(document: ImageDocument) -> bytes:
    """The bytes of an image configuration."""
    fields: dict[str, Any] = {
        **document.unknown,
        "architecture": document.architecture,
        "os": document.os,
        "config": configs.dump(document.config),
        "rootfs": {"type": "layers", "diff_ids": list(document.diff_ids)},
        "history": [_dump_history(entry) for entry in document.history],
    }
    if document.created:
        fields["created"] = document.created
    return _bytes(fields)


def parse_document(data: bytes) -> ImageDocument:
    """Read an image configuration. Raises InvalidError that names what is wrong."""
    document = _object(data, "image configuration")
    root = document.get("rootfs")
    diff_ids = root.get("diff_ids") if isinstance(root, dict) else None
    if not isinstance(diff_ids, list):
        raise _invalid("image configuration", "rootfs.diff_ids is not a list")
    history = document.get("history") or []
    if not isinstance(history, list):
        raise _invalid("image configuration", "history is not a list")
    return ImageDocument(
        architecture=_text(document, "architecture"),
        os=_text(document, "os"),
        created=_text(document, "created"),
        config=configs.parse(document.get("config")),
        diff_ids=tuple(digests.parse(diff_id) for diff_id in diff_ids),
        history=tuple(_history(entry) for entry in history),
        unknown=_rest(document, "architecture", "os", "created", "config", "rootfs", "history"),
    )


def _dump_descriptor(descriptor: Descriptor) -> dict[str, Any]:
    return {
        **descriptor.unknown,
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest,
        "size": descriptor.size,
    }


def _descriptor(data: object) -> Descriptor:
    if not isinstance(data, dict):
        raise _invalid("manifest", "a descriptor is not an object")
    size = data.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise _invalid("manifest", "a descriptor's size is not a number")
    return Descriptor(
        media_type=_text(data, "mediaType"),
        digest=digests.parse(data.get("digest")),
        size=size,
        unknown=_rest(data, "mediaType", "digest", "size"),
    )


def _dump_history(entry: HistoryEntry) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "created": entry.created,
        "created_by": entry.created_by,
        "author": entry.author,
        "comment": entry.comment,
        "empty_layer": entry.empty_layer,
    }
    return {key: value for key, value in fields.items() if value}


def _history(data: object) -> HistoryEntry:
    if not isinstance(data, dict):
        raise _invalid("image configuration", "an entry of history is not an object")
    return HistoryEntry(
        created=_text(data, "created"),
        created_by=_text(data, "created_by"),
        author=_text(data, "author"),
        comment=_text(data, "comment"),
        empty_layer=data.get("empty_layer") is True,
    )


def _object(data: bytes, what: str) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _invalid(what, f"it is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise _invalid(what, "it is not an object")
    return document


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _invalid("document", f"{key} is not a string")
    return value


def _rest(data: Iterable[tuple[str, Any]] | Mapping[str, Any], *known: str) -> dict[str, Any]:
    return {key: value for key, value in dict(data).items() if key not in known}


def _bytes(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def _invalid(what: str, why: str) -> InvalidError:
    return InvalidError(f"{what}: {why}", reference="invalid-manifest")
