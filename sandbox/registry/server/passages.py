"""Blobs on their way through a mirror: fetched once, by a thread, however many clients want them meanwhile.

The thread writes an upload; each client follows the file as it grows, at its own pace, may come late and leave early.
The last byte is held back until the digest is right, so that nobody receives a wrong blob whole.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
from typing import TYPE_CHECKING, Protocol

from sandbox.registry.errors import ErrorCode
from sandbox.registry.server.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sandbox.image.digest import Digest
    from sandbox.registry.server.uploads import Upload, Uploads

log = logging.getLogger(__name__)
_BLOCK = 256 << 10


class UpstreamError(Exception):
    """The other registry does not answer, or refuses; `too_many` when it wants fewer requests."""

    def __init__(self, message: str, *, too_many: bool = False) -> None:
        super().__init__(message)
        self.too_many = too_many


class FetchedBlob(Protocol):
    """A blob on its way. Blocks may raise UpstreamError."""

    size: int

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None:
        """Stop fetching; may be called at any time, and twice."""


class Passages:
    """The blobs that are being fetched by this process."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads
        self._lock = threading.Lock()
        self._going: dict[tuple[str, Digest], Passage] = {}

    def join(self, name: str, digest: Digest, fetch: Callable[[], FetchedBlob | None]) -> Passage | None:
        """The passage of a blob, begun by `fetch` where nobody fetches it yet; `None` if that finds nothing. Whoever
        joins must follow. Raises UpstreamError, Refusal.
        """
        with self._lock:
            passage = self._going.get((name, digest))
            is_new = passage is None or not passage.open()
            if passage is None or is_new:
                passage = self._going[name, digest] = Passage(digest)
        if is_new:
            thread = threading.Thread(target=self._run, args=(name, passage, fetch), name="passage", daemon=True)
            thread.start()
        return passage if passage.settle() else None

    def _run(self, name: str, passage: Passage, fetch: Callable[[], FetchedBlob | None]) -> None:
        passage.run(fetch, lambda: self._uploads.open(name, self._uploads.begin(name)))
        with self._lock:
            if self._going.get((name, passage.digest)) is passage:
                del self._going[name, passage.digest]


class Passage:
    """One blob on its way."""

    def __init__(self, digest: Digest) -> None:
        self.digest = digest
        self.size = 0
        self._moved = threading.Condition()
        self._users = 2  # the thread, and the client for whom it is begun
        self._data = -1  # what has come, for those who follow
        self._written = 0
        self._is_settled = self._is_whole = False
        self._trouble: Exception | None = None

    def open(self) -> bool:
        """Whether one more client may follow."""
        with self._moved:
            if self._users:
                self._users += 1
            return self._users > 0

    def settle(self) -> bool:
        """Whether there is such a blob, as soon as that is known. Raises UpstreamError, Refusal."""
        with self._moved:
            while not self._is_settled:
                self._moved.wait()
            found, trouble = self._data >= 0, self._trouble
        if not found:
            self.leave()
            if trouble is not None:
                raise trouble
        return found

    def follow(self) -> Follower:
        """The content, for a client that has joined."""
        return Follower(self, self._data)

    def run(self, fetch: Callable[[], FetchedBlob | None], begin: Callable[[], Upload]) -> None:
        """Fetch all of it; once, by the thread. What goes wrong is told to those who follow."""
        trouble: Exception | None = None
        try:
            found = fetch()
            if found is not None:
                with contextlib.closing(found), begin() as upload:
                    self._store(found, upload)
        except Exception as error:  # whatever it is: those who follow must not wait for ever
            trouble = error
            if self._is_settled:  # else the answer says it
                log.warning("blob %s broke off: %s", self.digest, error)
        with self._moved:
            self._is_whole, self._trouble, self._is_settled = trouble is None, trouble, True
            self._moved.notify_all()
        self.leave()

    def _store(self, found: FetchedBlob, upload: Upload) -> None:
        over = Refusal(ErrorCode.SIZE_INVALID, "the blob is larger than the other registry said")
        try:
            with self._moved:
                self.size, self._data, self._is_settled = found.size, upload.reader(), True
                self._moved.notify_all()
            for block in found:
                upload.append((block,), room=self.size, over=over)
                with self._moved:
                    self._written = upload.size
                    self._moved.notify_all()
            upload.complete(self.digest)
        finally:
            upload.cancel()

    def wait(self, sent: int) -> int:
        """How many bytes may be sent, once that is more than `sent`. Raises ConnectionResetError when no more come:
        to a client that waits for the rest there is no other way to say so, and servers of WSGI log no more of it.
        """
        with self._moved:
            while self._trouble is None:
                ready = self.size if self._is_whole else min(self._written, self.size - 1)
                if ready > sent:
                    return ready
                self._moved.wait()
            raise ConnectionResetError(errno.ECONNRESET, str(self._trouble)) from self._trouble

    def leave(self) -> None:
        """The thread or a client is done."""
        with self._moved:
            self._users -= 1
            if not self._users and self._data >= 0:
                os.close(self._data)


class Follower:
    """What a client is sent: an iterable for WSGI, whose server calls `close` whether or not it was read to its end."""

    def __init__(self, passage: Passage, data: int) -> None:
        self._passage = passage
        self._data = data
        self._is_open = True

    def __iter__(self) -> Iterator[bytes]:
        sent = 0
        while sent < self._passage.size:
            ready = self._passage.wait(sent)
            while sent < ready:
                block = os.pread(self._data, min(_BLOCK, ready - sent), sent)
                sent += len(block)
                yield block

    def close(self) -> None:
        """No more is wanted."""
        if self._is_open:
            self._is_open = False
            self._passage.leave()
