"""How many bytes a repository or a namespace may hold.

What a repository holds is the sum of its blobs, each counted once in it, as the file system says; sums are kept in
memory and counted anew when the repository's folder has changed. Uploads that end at the same moment may pass the line
together: a quota is no lock.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from sandbox.registry.server import repositories
from sandbox.registry.server.blobs import entries

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.registry.server.layout import Layout

EACH = "*"  # a quota of every single repository
_SETTLED = 1_000_000_000  # nanoseconds: two changes within one tick of the file system's clock leave the same time


class Quotas:
    """`sizes` has bytes by a repository's name, which is also that of the namespace below it, or by `*`."""

    def __init__(self, layout: Layout, sizes: Mapping[str, int]) -> None:
        self._layout = layout
        self._sizes = sizes
        self._lock = threading.Lock()
        self._sums: dict[str, tuple[int, int]] = {}  # name: time of the folder, bytes

    def room(self, repository: str) -> int | None:
        """How many bytes the repository may still take; `None` where nothing limits it. Negative when it is over."""
        least: int | None = None
        for name, size in self._sizes.items():
            if name == EACH:
                left = size - self._held(repository)
            elif repository == name or repository.startswith(f"{name}/"):
                left = size - sum(self._held(one) for one in repositories.names(self._layout, name))
            else:
                continue
            least = left if least is None else min(least, left)
        return least

    def _held(self, repository: str) -> int:
        folder = self._layout.blobs(repository)
        try:
            changed = folder.stat().st_mtime_ns
        except FileNotFoundError:
            return 0
        with self._lock:
            known = self._sums.get(repository)
        if known is not None and known[0] == changed:
            return known[1]
        held = sum(status.st_size for _, status in entries(folder))
        if time.time_ns() - changed > _SETTLED:
            with self._lock:
                self._sums[repository] = (changed, held)
        return held
