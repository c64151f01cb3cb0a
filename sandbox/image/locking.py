"""Who may change the image store when: one lock for the moment of change, leases for what takes longer.

*Store lock* (`images/lock`): whoever adds something holds it shared, for milliseconds; whoever deletes holds it alone.
So a deletion sees every addition either whole or not at all. *Lease* (`images/leases/<random>`): a file that is locked
for as long as its process lives and lists what that process relies on before an image refers to it: the snapshots below
the layer it is unpacking, blobs already written. Deletions leave those alone. A process that is killed loses its lease
with its descriptors.

Locks are flock(2): they belong to the open file, so a forked child that keeps the descriptor keeps the lock; all are
close-on-exec.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from sandbox.image import digest as digests
from sandbox.image.scratch import make_directory

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from sandbox.image.digest import ChainID, Digest

_SNAPSHOT = "snapshot"
_BLOB = "blob"


class StoreLock:
    """`with StoreLock(images, exclusive=…):`. Not to be taken alone by a process that holds it shared: that waits for
    itself.
    """

    def __init__(self, images: Path, *, exclusive: bool) -> None:
        self._path = images / "lock"
        self._operation = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        self._fd = -1

    def __enter__(self) -> Self:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._fd = os.open(self._path, flags, 0o600)
        except FileNotFoundError:
            make_directory(self._path.parent)
            self._fd = os.open(self._path, flags, 0o600)
        fcntl.flock(self._fd, self._operation)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)


class Lease:
    """`with Lease(images) as lease:`. What is added stays in the store until the block ends, or until an image needs
    it.
    """

    def __init__(self, images: Path) -> None:
        self._images = images
        self._directory = images / "leases"
        self._fd = -1
        self._path = self._directory

    def __enter__(self) -> Self:
        make_directory(self._directory)
        # Made under the store lock: nobody who reads the leases can meet the file before it is locked.
        with StoreLock(self._images, exclusive=False):
            self._path = self._directory / os.urandom(8).hex()
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._fd)

    def add_snapshot(self, chain_id: ChainID) -> None:
        """Keep a snapshot. The caller holds the store lock shared, and has seen the snapshot or is about to make it."""
        os.write(self._fd, f"{_SNAPSHOT} {chain_id.hex}\n".encode("ascii"))

    def add_blob(self, digest: Digest) -> None:
        """Keep a blob, by the same rule."""
        os.write(self._fd, f"{_BLOB} {digest.hex}\n".encode("ascii"))


def leased(images: Path) -> tuple[set[ChainID], set[Digest]]:
    """The snapshots and blobs that living processes rely on; leases of dead ones are deleted. The store lock is held
    alone.
    """
    snapshots: set[ChainID] = set()
    blobs: set[Digest] = set()
    directory = images / "leases"
    try:
        paths = tuple(directory.iterdir())
    except FileNotFoundError:
        return snapshots, blobs
    for path in paths:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:  # its process ended just now
            continue
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                with open(fd, encoding="ascii", closefd=False) as lines:
                    for line in lines:
                        kind, _, figures = line.rstrip("\n").partition(" ")
                        (snapshots if kind == _SNAPSHOT else blobs).add(digests.from_hex(figures))
            else:
                path.unlink(missing_ok=True)
        finally:
            os.close(fd)
    return snapshots, blobs
