"""What builds remember, in a registry: `--cache-to type=registry,ref=…` and `--cache-from type=registry,ref=…`.

Under the name lies a manifest of the steps' layers, compressed, whose configuration is the document that says what they
are (`cachedocument`), as BuildKit's registry cache with `image-manifest=true`. Or it is an image that has that document
in its own configuration: what `type=inline` has put there.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sandbox.builder.cachedocument import CONFIG, INLINE, CacheIndex, describe, layers_of
from sandbox.errors import InvalidError, SandboxError
from sandbox.image.buildcache import CachedStep
from sandbox.image.manifest import MANIFEST, dump_manifest, parse_document
from sandbox.registry import media
from sandbox.registry.client.layers import pull_layer
from sandbox.registry.client.resolving import resolve
from sandbox.registry.client.sending import Sending, manifest_of
from sandbox.registry.client.session import Session, first_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sandbox.image.digest import ChainID, Digest
    from sandbox.image.locking import Lease
    from sandbox.image.platform import Platform
    from sandbox.image.reference import Reference
    from sandbox.image.store import ImageStore
    from sandbox.registry.client.compression import Packed
    from sandbox.registry.client.progress import Progress

_LIMIT = 64 << 20  # bytes of a document


def export(
    store: ImageStore, name: Reference, steps: Mapping[str, CachedStep], packed: Packed, progress: Progress
) -> Digest:
    """Push the steps, by their keys, whose layers the caller has leased; the digest of that. Raises RegistryError."""
    with Session(store.home) as session:
        sending = Sending(store, session, name, progress, packed)
        layers = layers_of(steps)
        blobs = sending.layers(layers)
        document = describe(steps, layers, [blob.digest for blob in blobs])
        config = sending.document(json.dumps(document, sort_keys=True).encode("ascii"), CONFIG)
        unique = list({blob.digest: blob for blob in blobs}.values())
        return sending.manifest(dump_manifest(manifest_of(config, unique, {})), MANIFEST, name.tag).digest


class CacheRegistry:
    """A cache of a registry, read when the first step is looked for; what is wrong with it is said once.

    Of an index of images it is the one for `platform`. Closing the session is the caller's.
    """

    def __init__(self, store: ImageStore, session: Session, name: Reference, platform: Platform) -> None:
        self._store = store
        self._session = session
        self._name = name
        self._platform = platform
        self._lock = threading.Lock()
        self._index: CacheIndex | None = None
        self._is_read = False

    def find(self, key: str, below: ChainID | None, lease: Lease) -> CachedStep | None:
        """See `CacheSource`."""
        with self._lock, self._named():
            if not self._is_read:
                self._is_read = True
                self._index = self._read()
        found = self._index.find(key, below) if self._index else None
        if found is None or found.layer is None:
            return None if found is None else CachedStep(None, found.created)
        servers = self._session.repositories(self._name, "pull")
        with self._named():
            one = found.layer
            layer = pull_layer(self._store, self._session, servers, one.blob, one.diff_id, below, lease=lease)
        return CachedStep(layer, found.created)

    def _read(self) -> CacheIndex:
        target = self._name.digest or self._name.tag
        servers = self._session.repositories(self._name, "pull")
        found = first_of(
            servers,
            lambda server: resolve(
                server, target, self._platform, self._store.content, configs=media.CONFIGS | {CONFIG}
            ),
        )
        config = found.manifest.config
        data = first_of(servers, lambda server: server.small_blob(config, _LIMIT))
        if config.media_type == CONFIG:
            return CacheIndex(_parsed(data), {str(layer.digest): layer for layer in found.manifest.layers})
        document = parse_document(data)
        blobs = dict(zip(map(str, document.diff_ids), found.manifest.layers, strict=False))
        if INLINE not in document.unknown:
            raise InvalidError("it is an image without a cache", hint="build it with --cache-to type=inline")
        return CacheIndex(document.unknown[INLINE], blobs)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """What goes wrong in the block names the cache."""
        try:
            yield
        except SandboxError as error:
            raise type(error)(f"cache {self._name.familiar}: {error.message}", hint=error.hint) from None


def _parsed(data: bytes) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"no cache of builds: {error}") from None
