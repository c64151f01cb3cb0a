"""Blobs: content under its digest, and which repository has it.

Whoever tells a client that a blob is there (an upload that ended, a mount, HEAD before a push, a manifest that refers
to it) also sets its time to now, under the lock of changes. Garbage collection deletes nothing that is younger than its
beginning, so it never takes a blob that a push relies on, and both may go on at the same time.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

from sandbox.image import digest as digests
from sandbox.image.locking import StoreLock
from sandbox.registry.server import durable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.image.digest import Digest
    from sandbox.registry.server.layout import Layout


class Blobs:
    """The blobs of a registry's directory. Any number of processes and threads may use it at once."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def open(self, repository: str, digest: Digest) -> BinaryIO | None:
        """The content, open for reading and whole whatever is deleted meanwhile; `None` if the repository lacks it."""
        try:
            return (self._layout.blobs(repository) / digest.hex).open("rb")
        except (FileNotFoundError, NotADirectoryError):
            return None

    def claim(self, repository: str, digest: Digest) -> int | None:
        """The size of a blob that somebody will rely on from now on; `None` if the repository lacks it."""
        with StoreLock(self._layout.root, exclusive=False):
            return touch(self._layout.blobs(repository) / digest.hex)

    def mount(self, repository: str, digest: Digest, source: str | None) -> bool:
        """Give a repository a blob of `source`, or of anybody where that is `None`; whether it is there."""
        found = self._path(source, digest)
        with StoreLock(self._layout.root, exclusive=False):
            if touch(found) is None:
                return False
            durable.link(found, self._layout.blobs(repository) / digest.hex)
        return True

    def size(self, repository: str | None, digest: Digest) -> int | None:
        """The size in bytes of a blob of a repository, or of anybody, for nobody who relies on it."""
        try:
            return self._path(repository, digest).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def keep(self, repository: str, digest: Digest, data: Path) -> None:
        """Take a file in whose content has the digest and is on the disk. Where the blob is new, the file is moved:
        a second name would let an upload that was cut off here go on writing to a blob.
        """
        blob = self._layout.blob(digest)
        target = self._layout.blobs(repository) / digest.hex
        durable.make_directory(blob.parent)
        with StoreLock(self._layout.root, exclusive=False):
            if touch(blob) is not None:
                durable.link(blob, target)
                return
        # Alone: of two who have the same new content the second would move his file over that of the first.
        with StoreLock(self._layout.root, exclusive=True):
            if touch(blob) is None:
                data.rename(blob)
                touch(blob)
                durable.synchronise(blob.parent)
            durable.link(blob, target)

    def delete(self, repository: str, digest: Digest) -> bool:
        """Take a blob from a repository; whether it had it. Other repositories keep theirs."""
        try:
            (self._layout.blobs(repository) / digest.hex).unlink()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def _path(self, repository: str | None, digest: Digest) -> Path:
        return self._layout.blob(digest) if repository is None else self._layout.blobs(repository) / digest.hex


def touch(path: Path) -> int | None:
    """Set the time of a file to now; its size, or `None` if it is not there."""
    try:
        os.utime(path)
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return None


def entries(folder: Path) -> Iterator[tuple[Digest, os.stat_result]]:
    """The files of a folder that are named by a digest's figures. What is deleted meanwhile is left out."""
    try:
        found = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in found:
        if len(entry.name) == digests.HEX_LENGTH and digests.is_hex(entry.name):
            try:
                yield digests.from_hex(entry.name), entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
