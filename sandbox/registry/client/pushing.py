"""`push`: an image of the store to a registry.

A layer that the registry has is not sent again: under the digests that it is known by here, it is looked for, or
mounted from another repository of that registry. Others are compressed and sent at once, some side by side. An image
whose layers are all there as they were pulled keeps its manifest, byte for byte, and so its digest.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from sandbox.errors import NotFoundError
from sandbox.image import digest as digests
from sandbox.image import reference as references
from sandbox.image.bootstrap import ANNOTATION
from sandbox.image.manifest import Descriptor, Manifest, dump_manifest, parse_manifest
from sandbox.image.scratch import Scratch
from sandbox.registry import media
from sandbox.registry.client import known
from sandbox.registry.client.failures import RegistryError
from sandbox.registry.client.packing import Packing
from sandbox.registry.client.progress import Progress, Silent, State
from sandbox.registry.client.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sandbox.image.digest import Digest
    from sandbox.image.image import Image, LayerRecord
    from sandbox.image.reference import Reference
    from sandbox.image.store import ImageStore
    from sandbox.registry.client.repository import Chunk, Repository
    from sandbox.registry.client.retrying import Retrying

_AT_ONCE = 3  # layers
_DOCKERS = {
    media.DOCKER_LAYER_GZIP: media.LAYER_GZIP,
    "application/vnd.docker.image.rootfs.diff.tar.zstd": media.LAYER_ZSTD,
}


class Pushed(NamedTuple):
    """The manifest that the name stands for at the registry now."""

    digest: Digest
    size: int  # bytes of the manifest


def push(
    store: ImageStore,
    name: str,
    *,
    verify: bool = True,
    environment: Mapping[str, str] = os.environ,
    retrying: Retrying | None = None,
    progress: Progress | None = None,
) -> Pushed:
    """Push the image of that name to the registry that the name says. Raises NotFoundError, RegistryError,
    UnsupportedError for a layer that cannot be written as it came. What was sent stays there.
    """
    reference = references.parse(name)
    if reference.digest:
        raise NotFoundError(f"cannot push {name!r}: a digest is no tag", hint="name it with a tag")
    image = store.get(reference.familiar)
    with (
        Session(store.home, environment=environment, verify=verify, retrying=retrying) as session,
        store.lease() as lease,
    ):
        for layer in image.layers:
            if not store.snapshots.claim(layer.chain_id, lease):
                raise NotFoundError(f"image {image.id.short} was removed meanwhile")
        return _Push(store, session, reference, image, progress or Silent()).run()


class _Push:
    """One image on its way."""

    def __init__(
        self, store: ImageStore, session: Session, reference: Reference, image: Image, progress: Progress
    ) -> None:
        self._store = store
        self._session = session
        self._reference = reference
        self._image = image
        self._progress = progress
        self._manifest = parse_manifest(store.content.read(image.manifest_digest))

    def run(self) -> Pushed:
        """See `push`."""
        servers = self._session.repositories(self._reference, "pull", "push")
        server = servers[0]  # the registry itself: mirrors take no pushes
        self._progress.line(f"The push refers to repository [{self._reference.name}]")
        layers = list(dict.fromkeys(self._image.layers))
        for layer in layers:
            self._progress.layer(layer.diff_id.short, State.PREPARING)
        sent = dict(zip(layers, self._all(server, layers), strict=True))
        configuration = self._store.content.read(self._image.id)
        self._send_configuration(server, configuration)
        manifest = self._described(configuration, [sent[layer] for layer in self._image.layers])
        data = self._store.content.read(self._image.manifest_digest) if manifest is None else dump_manifest(manifest)
        media_type = (manifest or self._manifest).media_type
        server.put_manifest(self._reference.tag, data, media_type)
        if manifest is not None:  # from now on this is what the name stands for here, too
            self._store.add(data, configuration, self._image.layers, (self._reference,))
        self._store.notify("push", self._image.id, {"name": self._reference.familiar})
        return Pushed(digests.of(data), len(data))

    def _all(self, server: Repository, layers: Sequence[LayerRecord]) -> list[Descriptor]:
        pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="push")
        try:
            futures = [pool.submit(self._layer, server, layer) for layer in layers]
            return [future.result() for future in futures]
        except BaseException:
            self._session.stop.set()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _layer(self, server: Repository, layer: LayerRecord) -> Descriptor:
        """Have a layer in the repository; as which blob."""
        name = layer.diff_id.short
        candidates = self._candidates(layer)
        for candidate in candidates:
            if server.has_blob(candidate.descriptor.digest):
                self._progress.layer(name, State.THERE)
                return self._noted(layer, candidate.descriptor)
        begun: Chunk | None = None
        for candidate in candidates:
            source = self._elsewhere(candidate)
            if source and begun is None:
                begun, mounted = _mounted(server, candidate.descriptor.digest, source)
                if mounted:
                    self._progress.layer(name, State.MOUNTED, detail=source)
                    return self._noted(layer, candidate.descriptor)
        descriptor = self._upload(server, layer, begun)
        self._progress.layer(name, State.PUSHED)
        return self._noted(layer, descriptor)

    def _candidates(self, layer: LayerRecord) -> list[known.Known]:
        """The blobs that the layer is known as: the manifest's first, which would keep its digest then."""
        found = list(known.read(self._store, layer.chain_id))
        number = self._image.layers.index(layer)
        if len(self._manifest.layers) == len(self._image.layers):
            own = self._manifest.layers[number]
            if own.media_type != media.LAYER:
                noted = next((one for one in found if one.descriptor.digest == own.digest), None)
                found.insert(0, known.Known(own, noted.repositories if noted else ()))
        return list({one.descriptor.digest: one for one in reversed(found)}.values())[::-1]

    def _elsewhere(self, candidate: known.Known) -> str:
        """Another repository of this registry that had the blob."""
        for name in candidate.repositories:
            domain, _, path = name.partition("/")
            if domain == self._reference.domain and path != self._reference.path:
                return path
        return ""

    def _noted(self, layer: LayerRecord, descriptor: Descriptor) -> Descriptor:
        known.note(self._store, layer.chain_id, descriptor, self._reference.name)
        return descriptor

    def _upload(self, server: Repository, layer: LayerRecord, chunk: Chunk | None) -> Descriptor:
        """Compress and send it at once; what breaks off goes on where the registry says that it has come to."""
        stop, retrying = self._session.stop, self._session.transport.retrying
        archive = self._store.snapshots.archive
        with (
            Scratch(self._store.home) as scratch,
            Packing(scratch.path / "layer", lambda: archive(layer.chain_id), stop) as packing,
        ):
            attempt, length = 0, None
            while True:
                try:
                    chunk = chunk or server.begin_upload()
                    chunk = server.send_chunk(
                        chunk, self._told(packing.read(chunk.offset), layer, chunk.offset), length
                    )
                    break
                except RegistryError as error:
                    attempt += 1
                    pause = retrying.pause(attempt) if error.passing else None
                    if pause is None or stop.is_set:
                        raise
                    stop.sleep(pause)
                size = packing.result()[1]
                chunk = _arrived(server, chunk)
                length = size - chunk.offset if chunk is not None else None
                if length == 0:
                    break
            digest, size = packing.result()
            if chunk is None:
                raise RegistryError("an upload has no place")
            server.finish_upload(chunk, digest)
        return Descriptor(media_type=media.LAYER_GZIP, digest=digest, size=size)

    def _told(self, pieces: Iterator[bytes], layer: LayerRecord, offset: int) -> Iterator[bytes]:
        for piece in pieces:
            yield piece
            offset += len(piece)
            self._progress.layer(layer.diff_id.short, State.PUSHING, offset)

    def _send_configuration(self, server: Repository, data: bytes) -> None:
        digest = digests.of(data)
        if not server.has_blob(digest):
            server.finish_upload(server.begin_upload(), digest, data)

    def _described(self, configuration: bytes, layers: Sequence[Descriptor]) -> Manifest | None:
        """A manifest of the layers as they were sent; None where the image's own says just that."""
        if [layer.digest for layer in layers] == [layer.digest for layer in self._manifest.layers]:
            return None
        unknown = dict(self._manifest.unknown)
        annotations = unknown.pop("annotations", None)
        if isinstance(annotations, dict) and (kept := {k: v for k, v in annotations.items() if k != ANNOTATION}):
            unknown["annotations"] = kept
        config = Descriptor(media_type=media.CONFIG, digest=digests.of(configuration), size=len(configuration))
        return Manifest(
            config=config,
            layers=tuple(
                Descriptor(
                    media_type=_DOCKERS.get(layer.media_type, layer.media_type), digest=layer.digest, size=layer.size
                )
                for layer in layers
            ),
            unknown=unknown,
        )


def _mounted(server: Repository, digest: Digest, source: str) -> tuple[Chunk | None, bool]:
    """Whether a blob could be taken over; else an upload has begun, or, where we may not look there, nothing."""
    try:
        begun = server.mount(digest, source)
    except RegistryError:
        return None, False
    return begun, begun is None


def _arrived(server: Repository, chunk: Chunk | None) -> Chunk | None:
    """How far an upload has come; None where the registry has forgotten it."""
    if chunk is None:
        return None
    try:
        return server.progress(chunk)
    except RegistryError as error:
        if error.status not in (400, 404, 416):
            raise
        return None
