"""`load`: images out of archives of docker, podman, skopeo and ourselves, and out of OCI layouts.

Three forms: OCI layout (`index.json`, in an archive or a directory), docker's archive (`manifest.json`), and both in
one, as docker writes since version 25; there the OCI part counts, and the other one's names are added. Everything that
has a digest is checked against it: documents before they are read, layers compressed and uncompressed before they
have a name. A layer that the store has already is not read. Sources: OCI image-spec image-layout.md, docker's
image/spec v1.2 and v1.3.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from sandbox.errors import InvalidError, LimitError, UnsupportedError
from sandbox.image import digest as digests
from sandbox.image import reference as references
from sandbox.image.bundle import DirectoryBundle, TarBundle, is_plain_file, spool
from sandbox.image.committing import describe
from sandbox.image.content import MAX_DOCUMENT
from sandbox.image.decompress import open_stream
from sandbox.image.limits import Limits
from sandbox.image.manifest import (
    INDEXES,
    LAYERS,
    Descriptor,
    parse_document,
    parse_manifest,
)
from sandbox.image.platform import host
from sandbox.image.scratch import Scratch
from sandbox.image.unpack import within_disk
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sandbox.image.bundle import Bundle
    from sandbox.image.digest import ChainID, DiffID, Digest
    from sandbox.image.image import Image, LayerRecord
    from sandbox.image.locking import Lease
    from sandbox.image.platform import Platform
    from sandbox.image.reference import Reference
    from sandbox.image.store import ImageStore
    from sandbox.image.tarsource import Readable

_IMAGES = 1000
_LAYERS = 500  # what overlay can have
_NESTED = 3  # indexes in indexes
_CONTAINERD_NAME = "io.containerd.image.name"
_REFERENCE_NAME = "org.opencontainers.image.ref.name"


class Loaded(NamedTuple):
    """One image of an archive and the names it came with."""

    image: Image
    names: tuple[str, ...]  # familiar


class _Found(NamedTuple):
    """What an archive says of one image. `layers` are members' names; digests are of those, compressed as they are."""

    manifest: bytes  # empty: docker's archive has none
    configuration: bytes
    layers: tuple[tuple[str, Digest | None], ...]
    names: tuple[Reference, ...]


def load(
    store: ImageStore,
    source: int | Path,
    *,
    limits: Limits | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Loaded, ...]:
    """Load every image of an archive (an open descriptor, which may be a pipe) or of an OCI layout (a directory).

    Raises InvalidError for what is none or does not fit its digests, LimitError, SandboxError. Images before the one
    that fails stay.
    """
    limits = limits or Limits()
    if not isinstance(source, int):
        with DirectoryBundle(source) as directory:
            return _load(store, directory, limits, progress)
    if is_plain_file(source):
        return _load(store, TarBundle(source), limits, progress)
    with Scratch(store.home) as scratch:
        fd = spool(_Descriptor(source), scratch.path / "archive", limit=within_disk(limits, scratch.path).data)
        try:
            return _load(store, TarBundle(fd), limits, progress)
        finally:
            os.close(fd)


class _Descriptor(NamedTuple):
    fd: int

    def read(self, size: int, /) -> bytes:
        return os.read(self.fd, size)


def _load(store: ImageStore, bundle: Bundle, limits: Limits, progress: Callable[[str], None]) -> tuple[Loaded, ...]:
    if bundle.has("index.json"):
        found = _oci_images(bundle)
    elif bundle.has("manifest.json"):
        found = _docker_images(bundle)
    else:
        raise InvalidError(
            "there are no images in it: neither index.json (OCI) nor manifest.json (docker)",
            hint="the archive of a root file system is for `sandbox import`",
            reference="invalid-archive",
        )
    loaded = tuple(_load_image(store, bundle, image, limits, progress) for image in found)
    if not loaded:
        raise InvalidError("there is no image in it for this machine", reference="invalid-archive")
    return loaded


def load_chosen(
    store: ImageStore, bundle: Bundle, choose: Callable[[tuple[Descriptor, ...]], Descriptor | None], platform: Platform
) -> Image | None:
    """Load one image of an OCI layout, without a name: the one of which `choose` picks the descriptor. None where it
    picks none, or none is for the platform. Raises as `load` does.
    """
    index = _json(bundle.open("index.json").whole(MAX_DOCUMENT), "index.json")
    descriptor = choose(_descriptors(index, "index.json"))
    found = None if descriptor is None else _oci_image(bundle, descriptor, _NESTED, platform)
    return None if found is None else _load_image(store, bundle, found, Limits(), lambda _: None).image


def _load_image(
    store: ImageStore, bundle: Bundle, found: _Found, limits: Limits, progress: Callable[[str], None]
) -> Loaded:
    document = parse_document(found.configuration)
    if len(document.diff_ids) != len(found.layers):
        raise InvalidError(
            f"an image has {len(found.layers)} layers, and its configuration names {len(document.diff_ids)}",
            reference="invalid-archive",
        )
    if len(found.layers) > _LAYERS:
        raise LimitError(f"an image has {len(found.layers)} layers, more than {_LAYERS}")
    layers: list[LayerRecord] = []
    with store.lease() as lease:
        parent: ChainID | None = None
        for number, ((name, digest), diff_id) in enumerate(zip(found.layers, document.diff_ids, strict=True), 1):
            progress(f"layer {number} of {len(found.layers)}: {diff_id.short}")
            layer = _load_layer(store, bundle, name, digest, diff_id, parent, lease, limits, progress)
            layers.append(layer)
            parent = layer.chain_id
        manifest = found.manifest or describe(found.configuration, layers)
        image = store.add(manifest, found.configuration, layers, found.names)
        store.notify("load", image.id, {"name": found.names[0].familiar if found.names else image.id})
    return Loaded(image, tuple(name.familiar for name in found.names))


def _load_layer(
    store: ImageStore,
    bundle: Bundle,
    name: str,
    digest: Digest | None,
    diff_id: DiffID,
    parent: ChainID | None,
    lease: Lease,
    limits: Limits,
    progress: Callable[[str], None],
) -> LayerRecord:
    chain_id = digests.chain_id(parent, diff_id)
    if store.snapshots.claim(chain_id, lease):
        return store.snapshots.record(chain_id).layer
    member = bundle.open(name)
    stream: Readable = member
    checked = None
    if digest is not None and digest != diff_id:
        stream = checked = _Hashed(member)
    record = store.snapshots.unpack(
        open_stream(stream), parent, lease=lease, expected=diff_id, limits=limits, progress=progress
    )
    if checked is not None and checked.digest() != digest:
        raise InvalidError(
            f"the layer {name} has the digest {checked.digest()}, not {digest}", reference="digest-mismatch"
        )
    if not store.snapshots.is_replayable(chain_id):
        store.snapshots.keep_archive(chain_id, open_stream(bundle.open(name)))
    return record.layer


class _Hashed:
    """A stream, hashed as it is read."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._hash.update(data)
        return data

    def digest(self) -> Digest:
        """Of the whole stream; what nobody has asked for is read now."""
        while self.read(1 << 18):
            pass
        return digests.from_hex(self._hash.hexdigest())


# -- OCI


def _oci_images(bundle: Bundle) -> Iterator[_Found]:
    names = _docker_names(bundle)
    index = _json(bundle.open("index.json").whole(MAX_DOCUMENT), "index.json")
    for descriptor in _descriptors(index, "index.json"):
        annotations = descriptor.unknown.get("annotations")
        named = _annotated(annotations if isinstance(annotations, dict) else {})
        found = _oci_image(bundle, descriptor, _NESTED, host())
        if found is None:
            continue
        more = names.get(digests.of(found.configuration), ())
        yield found._replace(names=tuple(dict.fromkeys((*named, *more))))


def _oci_image(bundle: Bundle, descriptor: Descriptor, nested: int, platform: Platform) -> _Found | None:
    """The image of a manifest, or the one of an index that is for the platform; `None` where there is none."""
    path = f"blobs/sha256/{descriptor.digest.hex}"
    if descriptor.media_type in INDEXES:
        if nested == 0:
            raise LimitError("the layout has indexes in indexes in indexes")
        inner = _json(_blob(bundle, descriptor), path)
        mine = [item for item in _descriptors(inner, path) if _is_for(item, platform)]
        for item in mine:
            if bundle.has(f"blobs/sha256/{item.digest.hex}"):
                return _oci_image(bundle, item, nested - 1, platform)
        return None
    data = _blob(bundle, descriptor)
    manifest = parse_manifest(data, media_type=descriptor.media_type)
    for layer in manifest.layers:
        if layer.media_type not in LAYERS:
            raise UnsupportedError(f"a layer of the type {layer.media_type[:100]!r} cannot be read")
    layers = tuple((f"blobs/sha256/{layer.digest.hex}", layer.digest) for layer in manifest.layers)
    return _Found(data, _blob(bundle, manifest.config), layers, ())


def _blob(bundle: Bundle, descriptor: Descriptor) -> bytes:
    """A document, which is what its descriptor says."""
    data = bundle.open(f"blobs/sha256/{descriptor.digest.hex}").whole(MAX_DOCUMENT)
    if digests.of(data) != descriptor.digest or len(data) != descriptor.size:
        raise InvalidError(
            f"blob {descriptor.digest} has other contents than its name says", reference="digest-mismatch"
        )
    return data


def _descriptors(index: dict[str, Any], name: str) -> tuple[Descriptor, ...]:
    listed = index.get("manifests")
    if not isinstance(listed, list) or "layers" in index or "config" in index:
        raise InvalidError(f"{name} is not an index of images", reference="invalid-archive")
    if len(listed) > _IMAGES:
        raise LimitError(f"{name} has {len(listed)} images, more than {_IMAGES}")
    return tuple(Descriptor.parse(item) for item in listed)


def _is_for(descriptor: Descriptor, wanted: Platform) -> bool:
    platform = descriptor.unknown.get("platform")
    if not isinstance(platform, dict):
        return True
    return platform.get("os") == wanted.os and platform.get("architecture") == wanted.architecture


def _annotated(annotations: dict[str, Any]) -> tuple[Reference, ...]:
    """The name that a layout gives an image; a bare tag is none."""
    for key in (_CONTAINERD_NAME, _REFERENCE_NAME):
        text = annotations.get(key)
        if isinstance(text, str) and (key == _CONTAINERD_NAME or ":" in text or "/" in text):
            try:
                return (_as_name(text),)
            except InvalidError:  # anything may stand there
                continue
    return ()


def _as_name(text: str) -> Reference:
    """A name with a tag: who knows of which manifest the digest was."""
    reference = references.parse(text)
    return reference._replace(digest="", tag=reference.tag or references.DEFAULT_TAG)


# -- docker's archive


def _docker_entries(bundle: Bundle) -> list[dict[str, Any]]:
    listed = _parsed(bundle.open("manifest.json").whole(MAX_DOCUMENT), "manifest.json")
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise InvalidError("manifest.json is not a list of images", reference="invalid-archive")
    if len(listed) > _IMAGES:
        raise LimitError(f"manifest.json has {len(listed)} images, more than {_IMAGES}")
    return listed


def _docker_names(bundle: Bundle) -> dict[Digest, tuple[Reference, ...]]:
    """What manifest.json beside an index calls the images, by their ids."""
    if not bundle.has("manifest.json"):
        return {}
    names: dict[Digest, tuple[Reference, ...]] = {}
    for item in _docker_entries(bundle):
        figures = str(item.get("Config")).rpartition("/")[2].removesuffix(".json")
        if len(figures) == digests.HEX_LENGTH and digests.is_hex(figures):
            image_id = digests.from_hex(figures)
            names[image_id] = (*names.get(image_id, ()), *_tags(item))
    return names


def _docker_images(bundle: Bundle) -> Iterator[_Found]:
    for item in _docker_entries(bundle):
        path, layers = item.get("Config"), item.get("Layers") or []
        if not isinstance(path, str) or not isinstance(layers, list) or not all(isinstance(x, str) for x in layers):
            raise InvalidError("manifest.json: an image has no Config or Layers", reference="invalid-archive")
        configuration = bundle.open(path).whole(MAX_DOCUMENT)
        figures = path.rpartition("/")[2].removesuffix(".json")
        if len(figures) == digests.HEX_LENGTH and digests.is_hex(figures) and digests.of(configuration).hex != figures:
            raise InvalidError(f"{path} has other contents than its name says", reference="digest-mismatch")
        yield _Found(b"", configuration, tuple((layer, None) for layer in layers), _tags(item))


def _tags(item: dict[str, Any]) -> tuple[Reference, ...]:
    tags = item.get("RepoTags") or []
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise InvalidError("manifest.json: RepoTags is not a list of names", reference="invalid-archive")
    return tuple(_as_name(tag) for tag in tags)


def _json(data: bytes, name: str) -> dict[str, Any]:
    document = _parsed(data, name)
    if not isinstance(document, dict):
        raise InvalidError(f"{name} is not an object", reference="invalid-archive")
    return document


def _parsed(data: bytes, name: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"{name} is not JSON: {error}", reference="invalid-archive") from None
