"""Garbage collection, while pushes and pulls go on.

What is garbage is found without any lock, and looked at once more when it is deleted, a few at a time, under the lock
that every change holds shared: a blob is deleted only when no manifest of its repository refers to it and nobody has
claimed it since `grace` seconds before the collection began (`blobs`). So a push that is under way keeps what it was
told is there, if only it is faster than that; a slower one is told what is missing, and never breaks an image.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.image import scratch
from sandbox.image.locking import StoreLock
from sandbox.registry.server import documents, durable, repositories
from sandbox.registry.server.blobs import entries
from sandbox.registry.server.manifests import remove

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from sandbox.image.digest import Digest
    from sandbox.registry.server.layout import Layout
    from sandbox.registry.server.limits import Limits
    from sandbox.registry.server.manifests import Manifests
    from sandbox.registry.server.uploads import Uploads

_BATCH = 100  # deletions under one lock, some milliseconds


@dataclass(slots=True, kw_only=True)
class Collected:
    """What a collection has deleted (or, on trial, would delete)."""

    uploads: int = 0
    manifests: int = 0
    links: int = 0  # blobs of a single repository
    blobs: int = 0  # of which no repository is left
    size: int = 0  # bytes that the disk has back


class Collector:
    """`untagged` has manifests deleted, too, that no tag, no index and no subject keeps, once they are as many seconds
    old; `None` keeps them all.
    """

    def __init__(
        self,
        layout: Layout,
        manifests: Manifests,
        uploads: Uploads,
        limits: Limits,
        *,
        untagged: float | None = None,
        trial: bool = False,
    ) -> None:
        self._layout = layout
        self._manifests = manifests
        self._uploads = uploads
        self._limits = limits
        self._untagged = untagged
        self._trial = trial
        self._done = Collected()

    def run(self) -> Collected:
        """Collect once; other collections at the same time do no harm."""
        durable.make_directory(self._layout.root)
        begun = self._now()
        if not self._trial:
            self._done.uploads = self._uploads.reclaim()
            scratch.reclaim(self._layout.root)
        unlinked: dict[Digest, int] = {}
        for name in list(repositories.names(self._layout)):
            if self._untagged is not None:
                self._collect_manifests(name, begun - self._untagged)
            self._collect_links(name, begun - self._limits.grace, unlinked)
        self._collect_blobs(begun - self._limits.grace)
        if not self._trial:
            self._remove_empty_folders()
        return self._done

    def _now(self) -> float:
        """The time by which the file system dates what it changes from now on."""
        mark = self._layout.root / "lock"
        with StoreLock(self._layout.root, exclusive=False):
            os.utime(mark)
            return mark.stat().st_mtime

    def _collect_manifests(self, name: str, oldest: float) -> None:
        with StoreLock(self._layout.root, exclusive=True):
            kept = self._kept(name, oldest)
            for digest, _ in self._manifests.all(name):
                if digest not in kept:
                    self._done.manifests += 1
                    if not self._trial:
                        remove(self._layout, self._manifests, name, digest)

    def _kept(self, name: str, oldest: float) -> set[Digest]:
        """What a tag or its youth keeps, what these refer to, and what refers to any of them as its subject."""
        tagged = (self._manifests.resolve(name, tag) for tag in self._manifests.tags(name))
        roots = [digest for digest in tagged if digest is not None]
        children: dict[Digest, list[Digest]] = {}
        for digest, changed in self._manifests.all(name):
            if changed >= oldest:
                roots.append(digest)
            document = self._document(name, digest)
            if document is not None:
                children.setdefault(digest, []).extend(document.manifests)
                if document.subject is not None:
                    children.setdefault(document.subject, []).append(digest)
        kept: set[Digest] = set()
        while roots:
            digest = roots.pop()
            if digest not in kept:
                kept.add(digest)
                roots += children.get(digest, ())
        return kept

    def _document(self, name: str, digest: Digest) -> documents.Document | None:
        stored = self._manifests.get(name, digest)
        if stored is None:  # deleted just now
            return None
        return documents.parse(stored.data, stored.media_type)

    def _collect_links(self, name: str, oldest: float, unlinked: dict[Digest, int]) -> None:
        """Blobs of a repository that none of its manifests refers to."""
        # Listed before the manifests are read: one that is pushed in between claims its blobs, which makes them young.
        found = [(digest, status) for digest, status in entries(self._layout.blobs(name)) if status.st_mtime < oldest]
        used: set[Digest] = set()
        for digest, _ in self._manifests.all(name):
            document = self._document(name, digest)
            used.update(document.blobs if document else ())
        folder = self._layout.blobs(name)
        for digest, status in self._delete(((one, folder / one.hex) for one, _ in found if one not in used), oldest):
            self._done.links += 1
            unlinked[digest] = unlinked.get(digest, 0) + 1
            if self._trial and status.st_nlink == unlinked[digest] + 1:
                self._done.blobs += 1
                self._done.size += status.st_size

    def _collect_blobs(self, oldest: float) -> None:
        """Blobs that no repository has: the file system counts a single name."""
        for prefix in _folders(self._layout.content):
            garbage = (
                (digest, prefix / digest.hex)
                for digest, status in entries(prefix)
                if status.st_nlink == 1 and status.st_mtime < oldest
            )
            for _, status in self._delete(garbage, oldest, lambda status: status.st_nlink == 1):
                self._done.blobs += 1
                self._done.size += status.st_size

    def _delete(
        self,
        garbage: Iterable[tuple[Digest, Path]],
        oldest: float,
        still: Callable[[os.stat_result], bool] = lambda _: True,
    ) -> list[tuple[Digest, os.stat_result]]:
        """Delete files that are still old when nobody else changes anything; those that went."""
        gone = []
        rest = list(garbage)
        while rest:
            batch, rest = rest[:_BATCH], rest[_BATCH:]
            with StoreLock(self._layout.root, exclusive=True):
                for digest, path in batch:
                    with contextlib.suppress(FileNotFoundError):
                        status = path.stat()
                        if status.st_mtime < oldest and still(status):
                            if not self._trial:
                                path.unlink()
                            gone.append((digest, status))
        return gone

    def _remove_empty_folders(self) -> None:
        """Repositories of which nothing is left. Names are made and removed under the lock."""
        for folder, _, files in list(os.walk(self._layout.repositories, topdown=False)):
            if not files and folder != str(self._layout.repositories):
                with StoreLock(self._layout.root, exclusive=True), contextlib.suppress(OSError):
                    os.rmdir(folder)  # noqa: PTH106  (only where it is empty)


def _folders(path: Path) -> tuple[Path, ...]:
    try:
        return tuple(path.iterdir())
    except FileNotFoundError:
        return ()
