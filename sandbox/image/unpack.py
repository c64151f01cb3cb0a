"""Making a snapshot of a layer's archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from sandbox.image.digest import ChainID, DiffID
    from sandbox.image.limits import Limits
    from sandbox.image.locking import Lease
    from sandbox.image.snapshots import SnapshotRecord, Snapshots


def unpack(
    snapshots: Snapshots,
    stream: BinaryIO,
    parent: ChainID | None,
    *,
    lease: Lease,
    expected: DiffID | None,
    limits: Limits | None,
    progress: Callable[[str], None],
) -> SnapshotRecord:
    """See `Snapshots.unpack`."""
    raise UnsupportedError(f"cannot unpack {stream} yet")
