"""What a registry has to know of a manifest: its type, what it refers to, and how `referrers` describes it. Pure.

Documents are kept as they came, byte for byte. Reading is strict where one could be taken for another (CVE-2021-41190):
a list of manifests and a list of layers exclude each other, and the type in the document is that of the request.
Source: OCI image-spec manifest.md and image-index.md, docker's "Image Manifest Version 2, Schema 2".
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sandbox.errors import InvalidError
from sandbox.image.manifest import Descriptor
from sandbox.registry import media
from sandbox.registry.errors import ErrorCode
from sandbox.registry.server.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.image.digest import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A manifest or an index."""

    media_type: str
    blobs: tuple[Digest, ...] = ()  # which the repository must have
    manifests: tuple[Digest, ...] = ()  # of an index
    subject: Digest | None = None
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)


def parse(data: bytes, media_type: str, *, references: int | None = None) -> Document:
    """Read a document that came as `media_type` (empty where nobody said) and may refer to so many others. Raises
    Refusal; never for one that was taken before.
    """
    document = _object(data)
    said = document.get("mediaType", "")
    if not isinstance(said, str):
        raise _invalid("mediaType is not a string")
    form = media_type or said
    if said and said != form:
        raise _invalid(f"it says it is {said[:100]!r}, and came as {form[:100]!r}")
    if form not in media.DOCUMENTS:
        raise _invalid(f"{form[:100]!r} is not a type that is kept here")
    if document.get("schemaVersion") != 2:
        raise _invalid("schemaVersion is not 2")
    is_index = form in media.INDEXES
    if {"config", "layers", "fsLayers"} & document.keys() if is_index else {"manifests", "fsLayers"} & document.keys():
        raise _invalid("it could be taken for a document of another type")
    config = None if is_index else _descriptor(document.get("config"), "config")
    layers = () if is_index else _descriptors(document.get("layers"), "layers")
    manifests = _descriptors(document.get("manifests"), "manifests") if is_index else ()
    subject = document.get("subject")
    if references is not None and len(layers) + len(manifests) > references:
        raise _invalid(f"it refers to more than {references} others")
    blobs = (layer.digest for layer in layers if layer.media_type not in media.FOREIGN)
    return Document(
        media_type=form,
        blobs=tuple(dict.fromkeys((config.digest, *blobs))) if config else (),
        manifests=tuple(dict.fromkeys(one.digest for one in manifests)),
        subject=_descriptor(subject, "subject").digest if subject is not None else None,
        artifact_type=_text(document, "artifactType") or (config.media_type if config else ""),
        annotations=_annotations(document.get("annotations")),
    )


def description(document: Document, digest: Digest, size: int) -> dict[str, Any]:
    """The descriptor by which `referrers` lists a document that has a subject."""
    found: dict[str, Any] = {"mediaType": document.media_type, "digest": digest, "size": size}
    if document.artifact_type:
        found["artifactType"] = document.artifact_type
    if document.annotations:
        found["annotations"] = dict(document.annotations)
    return found


def _object(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _invalid(f"it is not JSON: {str(error)[:200]}") from None
    if not isinstance(document, dict):
        raise _invalid("it is not an object")
    return document


def _descriptors(data: object, what: str) -> tuple[Descriptor, ...]:
    if not isinstance(data, list):
        raise _invalid(f"{what} is not a list")
    return tuple(_descriptor(one, what) for one in data)


def _descriptor(data: object, what: str) -> Descriptor:
    try:
        return Descriptor.parse(data)
    except InvalidError as error:
        raise _invalid(f"{what}: {error.message}") from None


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key, "")
    if not isinstance(value, str):
        raise _invalid(f"{key} is not a string")
    return value


def _annotations(data: object) -> dict[str, str]:
    if data is None:
        return {}
    if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
        raise _invalid("annotations are not strings")
    return data


def _invalid(why: str) -> Refusal:
    return Refusal(ErrorCode.MANIFEST_INVALID, f"manifest: {why}")
