"""What a push sends to one repository: layers, documents, and at last manifests. Used by `pushing`, and by the builder.

A layer that the registry has is not sent again: under the digests that it is known by here (`known`), it is looked for,
or mounted from another repository of that registry. Others are compressed and sent at once, some side by side.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from sandbox.image import digest as digests
from sandbox.image.manifest import Descriptor, Manifest
from sandbox.image.scratch import Scratch
from sandbox.registry import media
from sandbox.registry.client import known
from sandbox.registry.client.compression import AS_KNOWN
from sandbox.registry.client.failures import RegistryError
from sandbox.registry.client.packing import Packing
from sandbox.registry.client.progress import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from sandbox.image.digest import Digest
    from sandbox.image.image import LayerRecord
    from sandbox.image.reference import Reference
    from sandbox.image.store import ImageStore
    from sandbox.registry.client.compression import Packed
    from sandbox.registry.client.progress import Progress
    from sandbox.registry.client.repository import Chunk, Repository
    from sandbox.registry.client.session import Session

_AT_ONCE = 3  # layers
_DOCKERS = {
    media.DOCKER_LAYER_GZIP: media.LAYER_GZIP,
    "application/vnd.docker.image.rootfs.diff.tar": media.LAYER,
    "application/vnd.docker.image.rootfs.diff.tar.zstd": media.LAYER_ZSTD,
}


class Sending:
    """One repository that gets something; the caller has leased the layers, and ends the session.

    Raises RegistryError; what was sent stays there.
    """

    def __init__(
        self, store: ImageStore, session: Session, reference: Reference, progress: Progress, packed: Packed = AS_KNOWN
    ) -> None:
        self._store = store
        self._session = session
        self._reference = reference
        self._progress = progress
        self._packed = packed
        self._server = session.repositories(reference, "pull", "push")[0]  # the registry itself: mirrors take no pushes
        progress.line(f"The push refers to repository [{reference.name}]")

    def layers(self, layers: Sequence[LayerRecord], described: Sequence[Descriptor] = ()) -> list[Descriptor]:
        """Have the layers there; as which blobs. `described` is what a manifest of the image calls them, which is
        tried first.
        """
        own = dict(zip(layers, described, strict=True)) if len(layers) == len(described) else {}
        wanted = list(dict.fromkeys(layers))
        for layer in wanted:
            self._progress.layer(layer.diff_id.short, State.PREPARING)
        pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="push")
        try:
            futures = {layer: pool.submit(self._layer, layer, own.get(layer)) for layer in wanted}
            return [futures[layer].result() for layer in layers]
        except BaseException:
            self._session.stop.set()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def document(self, data: bytes, media_type: str) -> Descriptor:
        """Have a configuration or the like there."""
        digest = digests.of(data)
        if not self._server.has_blob(digest):
            self._server.finish_upload(self._server.begin_upload(), digest, data)
        return Descriptor(media_type=media_type, digest=digest, size=len(data))

    def manifest(self, data: bytes, media_type: str, tag: str = "") -> Descriptor:
        """Have a manifest or an index there whose blobs are; without a tag under its digest alone."""
        digest = digests.of(data)
        self._server.put_manifest(tag or digest, data, media_type)
        return Descriptor(media_type=media_type, digest=digest, size=len(data))

    def _layer(self, layer: LayerRecord, own: Descriptor | None) -> Descriptor:
        """Have a layer in the repository; as which blob."""
        name = layer.diff_id.short
        candidates = self._candidates(layer, own)
        for candidate in candidates:
            if self._server.has_blob(candidate.descriptor.digest):
                self._progress.layer(name, State.THERE)
                return self._noted(layer, candidate.descriptor)
        begun: Chunk | None = None
        for candidate in candidates:
            source = self._elsewhere(candidate)
            if source and begun is None:
                begun, mounted = _mounted(self._server, candidate.descriptor.digest, source)
                if mounted:
                    self._progress.layer(name, State.MOUNTED, detail=source)
                    return self._noted(layer, candidate.descriptor)
        descriptor = self._upload(layer, begun)
        self._progress.layer(name, State.PUSHED)
        return self._noted(layer, descriptor)

    def _candidates(self, layer: LayerRecord, own: Descriptor | None) -> list[known.Known]:
        """The blobs that the layer is known as: the manifest's first, which would keep its digest then."""
        form = self._packed.form
        found = list(known.read(self._store, layer.chain_id))
        if own is not None and (own.digest != layer.diff_id or form.is_plain):
            noted = next((one for one in found if one.descriptor.digest == own.digest), None)
            found.insert(0, known.Known(own, noted.repositories if noted else ()))
        if form.is_plain:
            plain = Descriptor(media_type=form.media_type, digest=layer.diff_id, size=layer.tar_size)
            found.append(known.Known(plain, ()))
        unique = list({one.descriptor.digest: one for one in reversed(found)}.values())[::-1]
        return [one for one in unique if not self._packed.always or form.describes(one.descriptor.media_type)]

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

    def _upload(self, layer: LayerRecord, chunk: Chunk | None) -> Descriptor:
        """Compress and send it at once; what breaks off goes on where the registry says that it has come to."""
        server, stop, retrying = self._server, self._session.stop, self._session.transport.retrying
        archive = self._store.snapshots.archive
        with (
            Scratch(self._store.home) as scratch,
            Packing(scratch.path / "layer", lambda: archive(layer.chain_id), stop, self._packed.form) as packing,
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
        return Descriptor(media_type=self._packed.form.media_type, digest=digest, size=size)

    def _told(self, pieces: Iterator[bytes], layer: LayerRecord, offset: int) -> Iterator[bytes]:
        for piece in pieces:
            yield piece
            offset += len(piece)
            self._progress.layer(layer.diff_id.short, State.PUSHING, offset)


def manifest_of(config: Descriptor, layers: Sequence[Descriptor], unknown: Mapping[str, Any]) -> Manifest:
    """An OCI manifest of layers as they were sent, some of which may have been docker's once."""
    named = (
        Descriptor(media_type=_DOCKERS.get(layer.media_type, layer.media_type), digest=layer.digest, size=layer.size)
        for layer in layers
    )
    return Manifest(config=config, layers=tuple(named), unknown=unknown)


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
