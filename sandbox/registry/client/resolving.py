"""From a name to one image: the manifest that a tag or digest stands for, through indexes to that of a platform.

Everything is checked before it is believed: digests, sizes, and that a document cannot be taken for another kind
(CVE-2021-41190). Manifests that the store has are not fetched again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from sandbox.errors import InvalidError, LimitError, NotFoundError, UnsupportedError
from sandbox.image import platform as platforms
from sandbox.image.manifest import Descriptor, parse_manifest
from sandbox.registry import media
from sandbox.registry.client.failures import wrong
from sandbox.registry.client.repository import Document

if TYPE_CHECKING:
    from sandbox.image.content import ContentStore
    from sandbox.image.digest import Digest
    from sandbox.image.manifest import Manifest
    from sandbox.image.platform import Platform
    from sandbox.registry.client.repository import Repository

_NESTED = 3  # indexes in indexes
_LISTED = 1000  # images of one index
_LAYERS = 500  # what overlay can have
_SHOWN = 12  # platforms named in an error


class Resolved(NamedTuple):
    """One image of a registry. `digest` is what the name stands for: an index, or the manifest itself."""

    digest: Digest
    document: Document
    manifest: Manifest


def resolve(
    repository: Repository,
    target: str,
    wanted: Platform,
    content: ContentStore,
    *,
    configs: frozenset[str] = media.CONFIGS,
) -> Resolved:
    """Find the image of `target`, a tag or digest, for a platform; `configs` are the types of its configuration.

    Raises RegistryError, NotFoundError where the platform is not there, UnsupportedError for what is no image.
    """
    document = repository.manifest(target)
    first = document.digest
    for _ in range(_NESTED):
        kind = _kind(document, f"{repository.name}{'@' if ':' in target else ':'}{target}")
        if kind not in media.INDEXES:
            return Resolved(first, document, _manifest(document, repository.name, configs))
        chosen = choose(_descriptors(document, repository.name), wanted, f"{repository.name}:{target}")
        document = _fetch(repository, chosen, content)
    raise LimitError(f"{repository.name}:{target} has indexes in indexes in indexes")


def choose(listed: tuple[Descriptor, ...], wanted: Platform, name: str) -> Descriptor:
    """The image of an index for a platform; one that says of none is for all."""
    found: dict[Platform, Descriptor] = {}
    for descriptor in listed:
        if descriptor.media_type not in media.DOCUMENTS:
            continue
        platform = _platform(descriptor)
        if platform is None:
            found.setdefault(wanted, descriptor)
        else:
            found.setdefault(platform, descriptor)
    for platform in platforms.runs_on(wanted):
        if platform in found:
            return found[platform]
    there = [str(platform) for platform in found if platform.os != "unknown"]
    more = f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
    raise NotFoundError(
        f"{name} has no image for {wanted}",
        hint=f"there are {', '.join(there[:_SHOWN])}{more}" if there else "it has no image at all",
        reference="no-such-platform",
    )


def _fetch(repository: Repository, descriptor: Descriptor, content: ContentStore) -> Document:
    if content.exists(descriptor.digest):
        return Document(content.read(descriptor.digest), descriptor.media_type, descriptor.digest)
    document = repository.manifest(descriptor.digest)
    if len(document.data) != descriptor.size:
        raise wrong(f"{repository.name}@{descriptor.digest} has another size than its index says", "size-mismatch")
    if document.media_type not in media.DOCUMENTS:  # a server that says text/plain of everything
        return document._replace(media_type=descriptor.media_type)
    return document


def _kind(document: Document, name: str) -> str:
    """The document's type, as it came and as it says itself."""
    data = _parsed(document, name)
    said = data.get("mediaType")
    if document.media_type in media.SCHEMA_1 or data.get("schemaVersion") == 1:
        raise UnsupportedError(
            f"{name} is an image of docker's schema 1, which is no longer read",
            hint="push it again with a docker of this decade",
            reference="schema-1",
        )
    kind = document.media_type if document.media_type in media.DOCUMENTS else said
    if kind is None:
        kind = media.INDEX if "manifests" in data else media.MANIFEST
    if kind not in media.DOCUMENTS:
        raise UnsupportedError(f"{name} is not an image but {str(kind)[:100]!r}", reference="not-an-image")
    if said is not None and said != kind:
        raise wrong(f"{name} says it is {str(said)[:100]!r}, and comes as {kind!r}", "invalid-manifest")
    return str(kind)


def _descriptors(document: Document, name: str) -> tuple[Descriptor, ...]:
    data = _parsed(document, name)
    listed = data.get("manifests")
    if not isinstance(listed, list) or "layers" in data or "config" in data or "fsLayers" in data:
        raise wrong(f"{name} is not an index of images, or could be taken for something else", "invalid-manifest")
    if len(listed) > _LISTED:
        raise LimitError(f"{name} lists {len(listed)} images, more than {_LISTED}")
    return tuple(Descriptor.parse(item) for item in listed)


def _manifest(document: Document, name: str, configs: frozenset[str]) -> Manifest:
    kind = document.media_type if document.media_type in media.MANIFESTS else None
    manifest = parse_manifest(document.data, media_type=kind)
    if manifest.config.media_type not in configs:
        what = manifest.unknown.get("artifactType") or manifest.config.media_type
        raise UnsupportedError(f"{name} is not an image but {str(what)[:100]!r}", reference="not-an-image")
    if len(manifest.layers) > _LAYERS:
        raise LimitError(f"{name} has {len(manifest.layers)} layers, more than {_LAYERS}")
    for layer in manifest.layers:
        if layer.media_type in media.FOREIGN or (layer.media_type not in media.LAYERS and layer.unknown.get("urls")):
            raise UnsupportedError(
                f"a layer of {name} lies elsewhere than in the registry, and is not fetched", reference="foreign-layer"
            )
        if layer.media_type not in media.LAYERS:
            raise UnsupportedError(
                f"a layer of {name} has the type {layer.media_type[:100]!r}, which cannot be read",
                reference="unknown-layer",
            )
    return manifest


def _parsed(document: Document, name: str) -> dict[str, Any]:
    try:
        data = json.loads(document.data)
    except (ValueError, RecursionError) as error:
        raise wrong(f"the manifest of {name} is not JSON: {error}", "invalid-manifest") from None
    if not isinstance(data, dict):
        raise wrong(f"the manifest of {name} is not an object", "invalid-manifest")
    return data


def _platform(descriptor: Descriptor) -> Platform | None:
    """None where it says nothing; InvalidError where that is no platform."""
    given = descriptor.unknown.get("platform")
    if given is None:
        return None
    if not isinstance(given, dict):
        raise InvalidError("an index has a platform that is not an object", reference="invalid-manifest")
    system, architecture, variant = (given.get(key) or "" for key in ("os", "architecture", "variant"))
    if not all(isinstance(text, str) for text in (system, architecture, variant)):
        raise InvalidError("an index has a platform whose names are no texts", reference="invalid-manifest")
    return platforms.normalized(system[:50], architecture[:50], variant[:50])
