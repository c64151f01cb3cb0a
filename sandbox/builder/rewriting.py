"""`rewrite-timestamp` of an output: no file that a build has made is younger than SOURCE_DATE_EPOCH.

So the same sources give the same image on whatever host and day. The base image's layers stay as they are. Called by
`exporting`. Source: BuildKit, docs/build-repro.md; the clamping, reproducible-builds.org "SOURCE_DATE_EPOCH".
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sandbox.image.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sandbox.builder.base import Result
    from sandbox.image.image import LayerRecord
    from sandbox.image.locking import Lease
    from sandbox.image.snapshots import Snapshots
    from sandbox.image.tarformat import TarEntry


def rewrite_times(result: Result, moment: int, snapshots: Snapshots, lease: Lease, opaque: str) -> Result:
    """The result on other layers, whose files are at most of `moment`, in nanoseconds since the epoch."""
    layers: list[LayerRecord] = list(result.layers[: result.inherited])
    for layer in result.layers[result.inherited :]:
        clamped = _Clamped(Tree([snapshots.path(layer.chain_id)], opaque, whiteouts=True), moment)
        below = layers[-1].chain_id if layers else None
        layers.append(snapshots.pack(clamped, below, lease=lease).layer)
    return replace(result, layers=tuple(layers))


class _Clamped:
    """A tree with times that are not after a moment."""

    def __init__(self, tree: Tree, moment: int) -> None:
        self._tree = tree
        self._moment = moment
        self.warnings: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[tuple[TarEntry, Callable[[], Iterator[bytes | memoryview]]]]:
        for entry, data in self._tree:
            yield entry._replace(mtime=min(entry.mtime, self._moment)), data
        self.warnings = self._tree.warnings
