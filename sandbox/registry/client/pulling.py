"""`pull`: an image of a registry into the store.

Blobs come side by side, and each layer is unpacked while it comes, in order, since a snapshot stands on the one below.
One process fetches an image that many want at once. Called by `sandbox pull`, and by whoever misses an image: `run`,
the builder, the runners. It starts threads, and ends them: a process that must have one alone has it before and after.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from sandbox.errors import LimitError, NotFoundError, SandboxError
from sandbox.image import digest as digests
from sandbox.image import platform as platforms
from sandbox.image import reference as references
from sandbox.image.content import MAX_DOCUMENT
from sandbox.image.decompress import open_stream
from sandbox.image.manifest import parse_document
from sandbox.registry.client import known
from sandbox.registry.client.downloading import Download, Downloads
from sandbox.registry.client.failures import RegistryError, wrong
from sandbox.registry.client.layers import limits_of
from sandbox.registry.client.progress import Progress, Silent, State
from sandbox.registry.client.resolving import resolve
from sandbox.registry.client.retrying import Retrying
from sandbox.registry.client.session import Session, first_of
from sandbox.registry.client.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sandbox.image.digest import ChainID, DiffID, Digest
    from sandbox.image.image import Image, LayerRecord
    from sandbox.image.locking import Lease
    from sandbox.image.manifest import Descriptor
    from sandbox.image.platform import Platform
    from sandbox.image.reference import Reference
    from sandbox.image.store import ImageStore
    from sandbox.registry.client.repository import Repository
    from sandbox.registry.client.resolving import Resolved


class Pulled(NamedTuple):
    """`digest` is what the name stands for at the registry; `new` is False where the store had just that."""

    image: Image
    digest: Digest
    new: bool


class _Layer(NamedTuple):
    descriptor: Descriptor
    diff_id: DiffID
    chain_id: ChainID


def pull(
    store: ImageStore,
    name: str,
    *,
    platform: Platform | None = None,
    verify: bool = True,
    environment: Mapping[str, str] = os.environ,
    retrying: Retrying | None = None,
    progress: Progress | None = None,
    named: str = "",
    logins: Sequence[str] = (),
) -> Pulled:
    """Pull the image, and give it its name, or that of `named`. Without a platform, the one for this host;
    `verify=False` takes any certificate, or no TLS; `logins` are texts of docker's `config.json` for this pull alone.

    Raises RegistryError, NotFoundError (no such platform), InvalidError, LimitError, UnsupportedError: nothing is left
    then but what a next pull goes on with.
    """
    reference = references.parse(name)
    Spool(store.home).reclaim()
    with Session(store.home, environment=environment, verify=verify, retrying=retrying, logins=logins) as session:
        return _Pull(store, session, reference, platform, progress or Silent()).run(references.parse(named or name))


def answers(home: Path, name: str, *, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the registry of that name says anything at all. Starts no thread."""
    reference = references.parse(name)
    with Session(home, environment=environment, retrying=Retrying(times=0)) as session:
        try:
            servers = session.repositories(reference, "pull")
            first_of(servers, lambda server: server.ping(authorized=False)).close()
        except RegistryError:
            return False
        return True


class _Pull:
    """One image on its way."""

    def __init__(
        self,
        store: ImageStore,
        session: Session,
        reference: Reference,
        platform: Platform | None,
        progress: Progress,
    ) -> None:
        self._store = store
        self._session = session
        self._reference = reference
        self._platform = platform
        self._progress = progress
        self._spool = Spool(store.home)

    def run(self, name: Reference) -> Pulled:
        """See `pull`."""
        servers = self._session.repositories(self._reference, "pull")
        target = self._reference.digest or self._reference.tag
        wanted = self._platform or platforms.host()
        resolved = first_of(servers, lambda server: resolve(server, target, wanted, self._store.content))
        self._progress.line(f"{target}: Pulling from {self._reference.path}")
        with self._spool.turn(resolved.document.digest, self._waiting), self._store.lease() as lease:
            before = self._store.find(name.canonical, named=False)
            image = self._store.find(resolved.manifest.config.digest, named=False)
            layers = self._claim_all(image, lease) if image is not None else None
            configuration = self._configuration(resolved, servers, lease)
            self._check_platform(configuration)
            if layers is None:
                layers = self._fetch(resolved, configuration, servers, lease)
            new = before is None or before.manifest_digest != resolved.document.digest
            name = name._replace(tag="") if name.digest else name
            image = self._store.add(resolved.document.data, configuration, layers, (name,))
            for layer, descriptor in zip(layers, resolved.manifest.layers, strict=True):
                known.note(self._store, layer.chain_id, descriptor, self._reference.name)
        self._store.notify("pull", image.id, {"name": name.familiar})
        return Pulled(image, resolved.digest, new)

    def _waiting(self) -> None:
        self._progress.line(f"waiting for another process that pulls {self._reference.familiar}")

    def _claim_all(self, image: Image, lease: Lease) -> tuple[LayerRecord, ...] | None:
        """The layers of an image that is here; None where some have gone."""
        for layer in image.layers:
            if not self._store.snapshots.claim(layer.chain_id, lease):
                return None
        return image.layers

    def _configuration(self, resolved: Resolved, servers: Sequence[Repository], lease: Lease) -> bytes:
        descriptor = resolved.manifest.config
        with self._store.hold():
            lease.add_blob(descriptor.digest)
            if self._store.content.exists(descriptor.digest):
                return self._store.content.read(descriptor.digest)
        return first_of(servers, lambda server: server.small_blob(descriptor, MAX_DOCUMENT))

    def _check_platform(self, configuration: bytes) -> None:
        """An image that is for one platform alone may be for another than is wanted."""
        document = parse_document(configuration)
        wanted = self._platform or platforms.host()
        variant = document.unknown.get("variant")
        its = platforms.normalized(
            document.os or "linux", document.architecture, variant if isinstance(variant, str) else ""
        )
        if not document.architecture or its in set(platforms.runs_on(wanted)):
            return
        name = self._reference.familiar
        if self._platform is not None:
            raise NotFoundError(
                f"{name} has no image for {wanted}", hint=f"there is {its}", reference="no-such-platform"
            )
        self._progress.line(f"warning: {name} is for {its}, and this host is {wanted}")

    # -- layers

    def _fetch(
        self, resolved: Resolved, configuration: bytes, servers: Sequence[Repository], lease: Lease
    ) -> tuple[LayerRecord, ...]:
        layers = self._layers(resolved, configuration)
        missing = [layer for layer in layers if not self._store.snapshots.exists(layer.chain_id)]
        downloads: dict[Digest, Download] = {}
        for layer in missing:
            # The same bytes may be there twice, on different layers below.
            downloads.setdefault(layer.descriptor.digest, self._download(layer, missing, servers))
        for layer in layers:
            state = State.WAITING if layer in missing else State.EXISTS
            self._progress.layer(layer.descriptor.digest.short, state)
        with Downloads(downloads.values(), self._session.stop):
            records: list[LayerRecord] = []
            for number, layer in enumerate(layers):
                records.append(self._unpack(layer, records, downloads.get(layer.descriptor.digest), lease))
                download = downloads.get(layer.descriptor.digest)
                if download is not None and all(
                    later.descriptor.digest != layer.descriptor.digest for later in layers[number + 1 :]
                ):
                    download.close()
        return tuple(records)

    def _layers(self, resolved: Resolved, configuration: bytes) -> tuple[_Layer, ...]:
        """The layers of manifest and configuration, which have to fit each other."""
        document = parse_document(configuration)
        described = resolved.manifest.layers
        if len(document.diff_ids) != len(described):
            raise wrong(
                f"{self._reference.familiar} has {len(described)} layers, and its configuration names "
                f"{len(document.diff_ids)}",
                "invalid-manifest",
            )
        chain = digests.chain_ids(document.diff_ids)
        return tuple(map(_Layer, described, document.diff_ids, chain))

    def _download(self, layer: _Layer, missing: Sequence[_Layer], servers: Sequence[Repository]) -> Download:
        chains = [one.chain_id for one in missing if one.descriptor.digest == layer.descriptor.digest]
        exists = self._store.snapshots.exists
        return Download(
            layer.descriptor,
            servers,
            self._spool,
            wanted=lambda: not all(map(exists, chains)),
            stop=self._session.stop,
            retrying=self._session.transport.retrying,
            progress=self._progress,
        )

    def _unpack(
        self, layer: _Layer, below: Sequence[LayerRecord], download: Download | None, lease: Lease
    ) -> LayerRecord:
        """The layer's snapshot: there, made by another process meanwhile, or made now."""
        snapshots = self._store.snapshots
        name = layer.descriptor.digest.short
        if snapshots.claim(layer.chain_id, lease):
            return snapshots.record(layer.chain_id).layer
        if download is None or not download.wait():
            if snapshots.claim(layer.chain_id, lease):
                self._progress.layer(name, State.EXISTS)
                return snapshots.record(layer.chain_id).layer
            raise SandboxError(f"layer {name} was removed while it was pulled", hint="pull it again")
        try:
            record = snapshots.unpack(
                open_stream(_Watched(download, self._progress)),
                below[-1].chain_id if below else None,
                lease=lease,
                expected=layer.diff_id,
                limits=limits_of(layer.descriptor),
            )
        except LimitError as error:
            raise LimitError(f"layer {name} of {self._reference.familiar}: {error.message}", hint=error.hint) from None
        if not snapshots.is_replayable(layer.chain_id):
            snapshots.keep_archive(layer.chain_id, open_stream(download.reader()))
        self._progress.layer(name, State.PULLED)
        return record.layer


class _Watched:
    """A download as it is unpacked; what has come already counts as unpacked then."""

    def __init__(self, download: Download, progress: Progress) -> None:
        self._download = download
        self._reader = download.reader()
        self._progress = progress
        self._count = 0

    def read(self, size: int, /) -> bytes:
        data = self._reader.read(size)
        self._count += len(data)
        if self._download.is_whole:
            descriptor = self._download.descriptor
            self._progress.layer(descriptor.digest.short, State.EXTRACTING, self._count, descriptor.size)
        return data
