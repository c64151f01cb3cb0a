"""One layer of a registry, unpacked on top of others: what a build takes from a cache. Pulls of images do many at once.

It is resumed and checked like those of images: the blob's digest and size, the archive's digest, and how much comes out
of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.errors import SandboxError
from sandbox.image import digest as digests
from sandbox.image.decompress import open_stream
from sandbox.image.limits import Limits
from sandbox.registry.client import known
from sandbox.registry.client.downloading import Download, Downloads
from sandbox.registry.client.progress import Silent
from sandbox.registry.client.retrying import Stop
from sandbox.registry.client.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.image.digest import ChainID, DiffID
    from sandbox.image.image import LayerRecord
    from sandbox.image.locking import Lease
    from sandbox.image.manifest import Descriptor
    from sandbox.image.store import ImageStore
    from sandbox.registry.client.repository import Repository
    from sandbox.registry.client.session import Session

_RATIO = 200  # of a layer's size to that of its blob; real ones have 10 at most, bombs 1000
_ALWAYS = 1 << 30  # bytes that any layer may have


def pull_layer(
    store: ImageStore,
    session: Session,
    servers: Sequence[Repository],
    blob: Descriptor,
    diff_id: DiffID,
    below: ChainID | None,
    *,
    lease: Lease,
) -> LayerRecord:
    """The layer's snapshot, which is leased. Raises RegistryError, InvalidError, LimitError; nothing is left then but
    what a next one goes on with.
    """
    snapshots = store.snapshots
    chain_id = digests.chain_id(below, diff_id)
    if snapshots.claim(chain_id, lease):
        return snapshots.record(chain_id).layer
    stop = Stop()  # of this layer alone: the session goes on
    download = Download(
        blob,
        servers,
        Spool(store.home),
        wanted=lambda: not snapshots.exists(chain_id),
        stop=stop,
        retrying=session.transport.retrying,
        progress=Silent(),
    )
    with Downloads((download,), stop):
        if download.wait():
            stream, limits = open_stream(download.reader()), limits_of(blob)
            record = snapshots.unpack(stream, below, lease=lease, expected=diff_id, limits=limits)
            if not snapshots.is_replayable(chain_id):
                snapshots.keep_archive(chain_id, open_stream(download.reader()))
            known.note(store, chain_id, blob, servers[0].name)
            return record.layer
        if snapshots.claim(chain_id, lease):
            return snapshots.record(chain_id).layer
    raise SandboxError(f"layer {blob.digest.short} was removed while it was pulled", hint="pull it again")


def limits_of(blob: Descriptor) -> Limits:
    """How much may come out of a layer."""
    limits = Limits()
    return limits._replace(data=min(limits.data, max(_ALWAYS, _RATIO * blob.size)))
