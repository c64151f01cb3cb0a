"""Which repositories there are, found in the tree of the directory itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandbox.registry.server.layout import BLOBS, MANIFESTS, PARTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.registry.server.layout import Layout


def exists(layout: Layout, name: str) -> bool:
    """Whether anything was ever completely pushed to a repository, and not all of it collected since."""
    return layout.manifests(name).is_dir() or layout.blobs(name).is_dir()


def names(layout: Layout, below: str = "") -> Iterator[str]:
    """Every repository, in no order; with `below` that one and those below it."""
    start = layout.repository(below) if below else layout.repositories
    for folder, folders, _ in os.walk(start):
        if BLOBS in folders or MANIFESTS in folders:
            yield os.path.relpath(folder, layout.repositories)
        folders[:] = [one for one in folders if one not in PARTS]


def with_manifests(layout: Layout) -> list[str]:
    """Those that have something to pull, in the order of their bytes."""
    return sorted(name for name in names(layout) if _has_entries(layout.manifests(name)))


def _has_entries(folder: Path) -> bool:
    try:
        with os.scandir(folder) as found:
            return next(found, None) is not None
    except FileNotFoundError:
        return False
