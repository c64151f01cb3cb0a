"""Uploads that go on: a folder for each, locked while a request writes to it.

Content is written as it comes and hashed on the way. The state of a hash cannot be stored, so it is kept in memory for
the next request of the same upload; where that comes to another process, the file is read once more. A request that
breaks off leaves what it brought: the client asks how far it came and goes on from there.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
import time
import uuid
from typing import TYPE_CHECKING

from sandbox.image import digest as digests
from sandbox.kernel.removal import remove_path
from sandbox.registry.errors import ErrorCode
from sandbox.registry.server import durable
from sandbox.registry.server.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from sandbox.image.digest import Digest
    from sandbox.registry.server.blobs import Blobs
    from sandbox.registry.server.layout import Layout
    from sandbox.registry.server.limits import Limits

_BLOCK = 1 << 20  # bytes read at once where content is hashed again
_REMEMBERED = 256  # hashes kept in memory, some 200 bytes each


class Uploads:
    """The uploads of a registry's directory."""

    def __init__(self, layout: Layout, blobs: Blobs, limits: Limits) -> None:
        self._layout = layout
        self._blobs = blobs
        self._limits = limits
        self._hashes = _Hashes()

    def begin(self, repository: str) -> str:
        """Make an empty upload; its id. Raises Refusal when too many go on."""
        if self._count() >= self._limits.uploads:
            self.reclaim()
            if self._count() >= self._limits.uploads:
                raise Refusal(ErrorCode.TOOMANYREQUESTS, f"more than {self._limits.uploads} uploads go on")
        durable.make_directory(self._layout.uploads)
        name = str(uuid.uuid4())
        folder = self._layout.uploads / name
        folder.mkdir(mode=0o700)
        (folder / "data").touch(mode=0o600)
        (folder / "repository").write_text(repository)  # last: from now on it is known
        return name

    def size(self, repository: str, name: str) -> int:
        """How many bytes have come. Raises Refusal for an upload that the repository does not have."""
        folder = self._folder(repository, name)
        try:
            return (folder / "data").stat().st_size
        except FileNotFoundError:
            raise _unknown(name) from None

    def open(self, repository: str, name: str) -> Upload:
        """The upload, to be written to by this request alone (`with`). Raises Refusal when it is not there, or when
        another request writes to it.
        """
        return Upload(self._folder(repository, name), self._blobs, self._hashes, repository)

    def reclaim(self) -> int:
        """Remove the uploads to which nothing has come for long; how many. One that is written to is left."""
        oldest = time.time() - self._limits.upload_age
        count = 0
        for folder in self._folders():
            try:
                if max(entry.stat().st_mtime for entry in (folder, *folder.iterdir())) > oldest:
                    continue
                fd = _lock(folder)
            except (FileNotFoundError, BlockingIOError):
                continue
            try:
                remove_path(folder)
                count += 1
            finally:
                os.close(fd)
        return count

    def _folders(self) -> tuple[Path, ...]:
        try:
            return tuple(self._layout.uploads.iterdir())
        except FileNotFoundError:
            return ()

    def _count(self) -> int:
        return len(self._folders())

    def _folder(self, repository: str, name: str) -> Path:
        folder = self._layout.uploads / name
        try:
            if (folder / "repository").read_text() == repository:
                return folder
        except FileNotFoundError:
            pass
        raise _unknown(name)


class Upload:
    """An upload that this request holds the lock of."""

    def __init__(self, folder: Path, blobs: Blobs, hashes: _Hashes, repository: str) -> None:
        self._folder = folder
        self._blobs = blobs
        self._hashes = hashes
        self._repository = repository
        self._lock = self._data = -1
        self._hash = hashlib.sha256()
        self._hashed = 0
        self.size = 0

    def __enter__(self) -> Self:
        try:
            self._lock = _lock(self._folder)
            # Opened after the lock was taken: an upload that another request has just completed has no data any more.
            self._data = os.open(self._folder / "data", os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except BlockingIOError:
            raise Refusal(ErrorCode.BLOB_UPLOAD_INVALID, "another request writes to this upload", status=409) from None
        except FileNotFoundError:
            self._close()
            raise _unknown(self._folder.name) from None
        self.size = os.fstat(self._data).st_size
        remembered = self._hashes.take(self._folder.name)
        if remembered is not None and remembered[0] == self.size:
            self._hashed, self._hash = remembered
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._hashed == self.size:
            self._hashes.put(self._folder.name, self.size, self._hash)
        self._close()

    def append(self, content: Iterable[bytes], *, room: int, over: Refusal) -> None:
        """Write what comes, at most `room` bytes altogether. Raises `over` when there is more; errors of `content` pass
        through, and what came before stays.
        """
        self._catch_up()
        for block in content:
            if self.size + len(block) > room:
                raise over
            view = memoryview(block)
            while view:
                view = view[os.write(self._data, view) :]
            self._hash.update(block)
            self.size += len(block)
            self._hashed = self.size

    def reader(self) -> int:
        """A descriptor for reading what has come; it stays good when the upload is completed or given up."""
        return os.open(self._folder / "data", os.O_RDONLY | os.O_CLOEXEC)

    def rewind(self, size: int) -> None:
        """Forget what came after the first `size` bytes."""
        os.ftruncate(self._data, size)
        self.size, self._hashed = size, -1

    def complete(self, digest: Digest) -> None:
        """Make the content a blob of the repository. Raises Refusal when it has another digest; then it is gone, as no
        byte that comes later could mend it.
        """
        self._catch_up()
        found = digests.from_hex(self._hash.hexdigest())
        if found != digest:
            self.cancel()
            raise Refusal(ErrorCode.DIGEST_INVALID, f"the content has the digest {found}", detail={"digest": digest})
        os.fsync(self._data)
        self._blobs.keep(self._repository, digest, self._folder / "data")
        self.cancel()

    def cancel(self) -> None:
        """Remove the upload with what it brought."""
        self._hashed = -1  # nothing to remember
        remove_path(self._folder)

    def _catch_up(self) -> None:
        """Hash what earlier requests wrote, where that is not remembered."""
        if self._hashed == self.size:
            return
        self._hash, self._hashed = hashlib.sha256(), 0
        while block := os.pread(self._data, _BLOCK, self._hashed):
            self._hash.update(block)
            self._hashed += len(block)

    def _close(self) -> None:
        for fd in (self._data, self._lock):
            if fd >= 0:
                os.close(fd)
        self._data = self._lock = -1


class _Hashes:
    """The hashes of what uploads have brought so far, the youngest few."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[int, hashlib._Hash]] = {}

    def put(self, name: str, size: int, state: hashlib._Hash) -> None:
        with self._lock:
            self._known[name] = (size, state)
            while len(self._known) > _REMEMBERED:
                del self._known[next(iter(self._known))]

    def take(self, name: str) -> tuple[int, hashlib._Hash] | None:
        with self._lock:
            return self._known.pop(name, None)


def _lock(folder: Path) -> int:
    """The locked descriptor of an upload. Raises BlockingIOError, FileNotFoundError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _unknown(name: str) -> Refusal:
    return Refusal(ErrorCode.BLOB_UPLOAD_UNKNOWN, "no such upload", detail={"upload": name})
