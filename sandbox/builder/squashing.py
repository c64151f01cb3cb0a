"""`--squash`: what a build has made, in one layer on top of the base image's.

Files that one step makes and a later one deletes are in no layer then. Every step stays in the history, without a layer
of its own, and the cache keeps them all. Source: docker's manual of the legacy builder, "--squash".
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sandbox.builder.base import COMMENT
from sandbox.image.manifest import HistoryEntry
from sandbox.image.tree import Tree

if TYPE_CHECKING:
    from sandbox.builder.base import Result
    from sandbox.image.locking import Lease
    from sandbox.image.snapshots import Snapshots


def squash(result: Result, snapshots: Snapshots, lease: Lease, opaque: str) -> Result:
    """The result with one layer in place of its own, if there are several."""
    base, own = result.layers[: result.inherited], result.layers[result.inherited :]
    if len(own) < 2:
        return result
    merged = Tree([snapshots.path(layer.chain_id) for layer in reversed(own)], opaque, whiteouts=True)
    record = snapshots.pack(merged, base[-1].chain_id if base else None, lease=lease)
    layers = (*base, record.layer) if record.entries else base
    before = _of_base(result)
    history = (
        *result.history[:before],
        *(entry._replace(empty_layer=True) for entry in result.history[before:]),
        HistoryEntry(
            created=result.created,
            created_by=f"squash {len(own)} layers",
            comment=COMMENT,
            empty_layer=not record.entries,
        ),
    )
    return replace(result, layers=layers, history=history)


def _of_base(result: Result) -> int:
    """How many lines of history are the base image's: those up to its last layer. Its settings after that, and those of
    an image without history, make no difference: they have no layers.
    """
    left = result.inherited
    for number, entry in enumerate(result.history):
        if not left:
            return number
        left -= not entry.empty_layer
    return len(result.history)
