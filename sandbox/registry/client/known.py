"""As which blobs a layer is known, and in which repositories they were seen: `snapshots/<hex>/blobs`.

A layer is kept unpacked, and compressed anew it would be another blob. So what it was pulled or pushed as is noted
beside it: a push finds that a registry has it already, or has another repository's mounted. Noted for the layers of an
image that something is built on, too. The note goes with the layer; losing it costs an upload.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from sandbox.errors import InvalidError
from sandbox.image.manifest import Descriptor
from sandbox.image.scratch import Scratch

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.image.digest import ChainID
    from sandbox.image.store import ImageStore

_BLOBS = 4  # the youngest of a layer
_REPOSITORIES = 8  # of a blob


class Known(NamedTuple):
    """A blob. `repositories` are names with their registry, the youngest first."""

    descriptor: Descriptor
    repositories: tuple[str, ...]


def read(store: ImageStore, chain_id: ChainID) -> tuple[Known, ...]:
    """What is noted of a layer, the youngest first."""
    try:
        entries = json.loads(_path(store, chain_id).read_bytes())
        return tuple(Known(Descriptor.parse(entry), tuple(map(str, entry["repositories"]))) for entry in entries)
    except (OSError, ValueError, KeyError, TypeError, InvalidError):  # a note, not more
        return ()


def note(store: ImageStore, chain_id: ChainID, descriptor: Descriptor, repository: str) -> None:
    """A blob of a layer was seen in a repository."""
    known = read(store, chain_id)
    before = next((one.repositories for one in known if one.descriptor.digest == descriptor.digest), ())
    if before[:1] == (repository,):
        return
    newest = Known(descriptor, tuple(dict.fromkeys((repository, *before)))[:_REPOSITORIES])
    others = [one for one in known if one.descriptor.digest != descriptor.digest]
    entries = [
        {
            "mediaType": one.descriptor.media_type,
            "digest": one.descriptor.digest,
            "size": one.descriptor.size,
            "repositories": one.repositories,
        }
        for one in (newest, *others)[:_BLOBS]
    ]
    with Scratch(store.home) as scratch:  # nobody waits for the disk
        made = scratch.path / "blobs"
        made.write_text(json.dumps(entries))
        made.rename(_path(store, chain_id))


def _path(store: ImageStore, chain_id: ChainID) -> Path:
    return store.snapshots.root / chain_id.hex / "blobs"
