"""`save`: images as an archive that docker, podman, skopeo and we can load, or as an OCI layout.

The archive is an OCI layout and docker's own at the same time (`index.json` and `manifest.json` over the same blobs),
as docker writes it since version 25. Layers are written as they came, uncompressed, so an image keeps its id. Lengths
are known beforehand: nothing is stored on the way. The same images always give the same bytes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sandbox.errors import NotFoundError
from sandbox.image import digest as digests
from sandbox.image import reference as references
from sandbox.image.committing import describe
from sandbox.image.manifest import MANIFEST
from sandbox.image.tarformat import Kind, TarEntry
from sandbox.image.tarwriter import TarWriter
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from sandbox.image.digest import Digest
    from sandbox.image.image import LayerRecord
    from sandbox.image.reference import Reference
    from sandbox.image.store import ImageStore

LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_BLOBS = "blobs/sha256/"


class Member(NamedTuple):
    """A file of the layout."""

    name: str
    size: int
    pieces: Iterable[bytes]


class _Wanted(NamedTuple):
    id: Digest
    layers: tuple[LayerRecord, ...]
    configuration: bytes
    names: list[Reference]


def members(store: ImageStore, names: Sequence[str], *, docker: bool = True) -> Iterator[Member]:
    """The files of a layout with the images that `names` stand for, blobs first. An image asked for by name keeps that
    name; by id it has none. Raises NotFoundError before anything is written.
    """
    wanted: dict[str, _Wanted] = {}
    for name in names:
        image = store.get(name)
        entry = wanted.setdefault(image.id, _Wanted(image.id, image.layers, store.content.read(image.id), []))
        if not image.id.hex.startswith(name.removeprefix(digests.PREFIX)):
            reference = references.parse(name)
            reference = reference._replace(digest="", tag=reference.tag or references.DEFAULT_TAG)
            if reference not in entry.names:
                entry.names.append(reference)
    return _kept(store, list(wanted.values()), docker=docker)


def unnamed_members(
    store: ImageStore, configuration: bytes, layers: tuple[LayerRecord, ...], names: list[Reference]
) -> Iterator[Member]:
    """The files of docker's archive with an image that the store does not know; the caller has leased its layers."""
    return _members(store, [_Wanted(digests.of(configuration), layers, configuration, names)], docker=True)


def _kept(store: ImageStore, wanted: list[_Wanted], *, docker: bool) -> Iterator[Member]:
    """The members; nobody removes a layer before it is written."""
    with store.lease() as lease:
        for image in wanted:
            for layer in image.layers:
                if not store.snapshots.claim(layer.chain_id, lease):
                    raise NotFoundError(f"image {image.id.short} was removed meanwhile")
        yield from _members(store, wanted, docker=docker)


def _members(store: ImageStore, wanted: list[_Wanted], *, docker: bool) -> Iterator[Member]:
    written: set[str] = set()
    index: list[dict[str, object]] = []
    listed: list[dict[str, object]] = []
    for image in wanted:
        configuration, names = image.configuration, image.names
        manifest = describe(configuration, image.layers)
        for layer in image.layers:
            if layer.diff_id not in written:
                written.add(layer.diff_id)
                yield Member(_BLOBS + layer.diff_id.hex, layer.tar_size, store.snapshots.archive(layer.chain_id))
        for document in (configuration, manifest):
            digest = digests.of(document)
            if digest not in written:
                written.add(digest)
                yield Member(_BLOBS + digest.hex, len(document), (document,))
        descriptor = {"mediaType": MANIFEST, "digest": digests.of(manifest), "size": len(manifest)}
        index += [
            {
                **descriptor,
                "annotations": {
                    "io.containerd.image.name": name.canonical,
                    "org.opencontainers.image.ref.name": name.tag if docker else name.canonical,
                },
            }
            for name in names
        ] or [descriptor]
        listed.append(
            {
                "Config": _BLOBS + image.id.hex,
                "RepoTags": [name.familiar for name in names] or None,
                "Layers": [_BLOBS + layer.diff_id.hex for layer in image.layers],
            }
        )
    documents = {
        "index.json": {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": index}
    }
    yield Member("oci-layout", len(LAYOUT), (LAYOUT,))
    for path, value in (*documents.items(), *((("manifest.json", listed),) if docker else ())):
        data = json.dumps(value, separators=(",", ":")).encode("ascii")
        yield Member(path, len(data), (data,))


def write_archive(files: Iterable[Member], write: Callable[[bytes | memoryview], object]) -> None:
    """The members as a tar, through `write`."""
    writer = TarWriter(write)
    for folder in (b"blobs", b"blobs/sha256"):
        writer.add(TarEntry(folder, Kind.DIRECTORY, 0o755))
    for member in files:
        writer.add(TarEntry(member.name.encode("ascii"), size=member.size), member.pieces)
    writer.close()


def write_directory(files: Iterable[Member], path: Path) -> None:
    """The members as files below a directory, which is made."""
    (path / _BLOBS).mkdir(parents=True)
    for member in files:
        with (path / member.name).open("xb") as file:
            file.writelines(member.pieces)
