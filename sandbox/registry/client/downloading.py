"""One blob from a registry into its file, hashed as it comes, and read meanwhile by whoever unpacks it.

A connection that breaks is taken up where it broke (Range), and so is what a killed process has left. More bytes than
the manifest says, or others than the digest says, end the download: a reader never sees the end of a blob that is not
what it should be.
"""

from __future__ import annotations

import hashlib
import os
import threading
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError
from sandbox.image import digest as digests
from sandbox.registry.client.failures import RegistryError, wrong
from sandbox.registry.client.progress import State
from sandbox.registry.client.session import first_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

    from sandbox.image.manifest import Descriptor
    from sandbox.registry.client.progress import Progress
    from sandbox.registry.client.repository import Repository
    from sandbox.registry.client.retrying import Retrying, Stop
    from sandbox.registry.client.spool import Place, Spool

_AT_ONCE = 3  # as docker's
_PATIENCE = 1.0  # seconds
_CHUNK = 1 << 19  # bytes: each read lets go of the interpreter and has to get it back


class Download:
    """One blob. `run` in a thread of its own; `read` in another. `wanted` says whether anybody still needs it."""

    def __init__(
        self,
        descriptor: Descriptor,
        servers: Sequence[Repository],
        spool: Spool,
        *,
        wanted: Callable[[], bool],
        stop: Stop,
        retrying: Retrying,
        progress: Progress,
    ) -> None:
        self.descriptor = descriptor
        self._servers = servers
        self._spool = spool
        self._wanted = wanted
        self._stop = stop
        self._retrying = retrying
        self._progress = progress
        self._place: Place | None = None
        self._hash = hashlib.sha256()
        self._count = 0  # bytes in the file, hashed
        self._error: BaseException | None = None
        self._ended = False
        self._changed = threading.Condition()

    def run(self) -> None:
        """Fetch it. Never raises: who reads it hears of what went wrong."""
        error: BaseException | None = None
        try:
            self._run()
        except BaseException as raised:
            error = raised
        with self._changed:
            self._error, self._ended = error, True
            self._changed.notify_all()

    def wait(self) -> bool:
        """Until it begins to come; False when somebody else made it superfluous. Raises what went wrong."""
        with self._changed:
            while not self._ended and (not self._count or self._place is None):
                self._changed.wait()
            if self._error is not None:
                raise self._error
            return self._place is not None

    def reader(self) -> Reader:
        """A stream of the blob's bytes from the beginning, for which `wait` was True."""
        return Reader(self)

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the file as soon as there are some; none at the end of a blob that is what it should be."""
        with self._changed:
            # Without a file its bytes were wrong: it is fetched once more, or the error is on its way.
            while not self._ended and (self._count <= offset or self._place is None):
                self._changed.wait()
            ready, place = self._count - offset, self._place
            if self._error is not None and (ready <= 0 or place is None):
                raise self._error
            if ready <= 0 or place is None:
                return b""
            whole = self._ended or self._count < self.descriptor.size
        # The last bytes are kept back until they are known to be right.
        if not whole:
            with self._changed:
                while not self._ended:
                    self._changed.wait()
                if self._error is not None:
                    raise self._error
        return os.pread(place.fd, min(size, ready), offset)

    @property
    def is_whole(self) -> bool:
        """Whether all of it is here."""
        return self._ended and self._error is None

    def close(self) -> None:
        """Nobody reads it any more, and nobody writes it."""
        with self._changed:
            place, self._place = self._place, None
        if place is not None:
            self._spool.release(self.descriptor.digest, place)

    # -- in the thread

    def _run(self) -> None:
        digest = self.descriptor.digest
        while (place := self._spool.open(digest, self._is_wanted)) is not None:
            if not place.whole and not self._is_wanted():  # who had the lock has unpacked the layer meanwhile
                self._spool.discard(digest, place)
                return
            self._place = place
            self._take_over(place.fd)
            if not place.whole:
                self._complete(place)
                return
            if self._is_right():
                return
            self._place = None  # the disk has lost some of it
            self._spool.discard(digest, place)
            self._start_over()

    def _is_wanted(self) -> bool:
        return self._wanted() and not self._stop.is_set

    def _complete(self, place: Place) -> None:
        """Fetch what the file has not, and give it its name. What was there from before is not to be relied on."""
        taken_over = self._count
        self._fetch(place.fd)
        if taken_over and not self._is_right():
            self._start_over()
            self._fetch(place.fd)
        if not self._is_right():
            self._place = None
            self._spool.discard(self.descriptor.digest, place)
            raise wrong(
                f"registry {self._servers[0].endpoint.host} sends other bytes for blob "
                f"{self.descriptor.digest.short} than its digest says",
                "digest-mismatch",
            )
        self._place = self._spool.keep(self.descriptor.digest, place)

    def _take_over(self, fd: int) -> None:
        """Hash what is in the file already."""
        while self._count < self.descriptor.size and (
            piece := os.pread(fd, min(_CHUNK, self.descriptor.size - self._count), self._count)
        ):
            self._add(piece)

    def _fetch(self, fd: int) -> None:
        attempt, before = 0, -1
        while self._count < self.descriptor.size:
            try:
                first_of(self._servers, lambda server: self._stream(server, fd))
            except RegistryError as error:
                attempt = 1 if self._count > before else attempt + 1
                before = self._count
                pause = self._retrying.pause(attempt) if error.passing else None
                if pause is None or self._stop.is_set:
                    raise
                self._stop.sleep(pause)

    def _stream(self, server: Repository, fd: int) -> None:
        answer, begin = server.blob(self.descriptor, self._count)
        with answer:
            if begin != self._count:  # a server without ranges
                self._start_over()
            while self._count < self.descriptor.size:
                if self._stop.is_set:
                    raise SandboxError("the download was stopped", reference="stopped")
                data = answer.read(_CHUNK)
                if not data:
                    raise RegistryError(f"registry {answer.host} broke a blob off", passing=True)
                if self._count + len(data) > self.descriptor.size:
                    raise self._too_long(answer.host)
                view = memoryview(data)
                while view:
                    view = view[os.pwrite(fd, view, self._count + len(data) - len(view)) :]
                self._add(data)
            if answer.read(1):
                raise self._too_long(answer.host)

    def _start_over(self) -> None:
        """From the first byte; who has read that far already goes on when as much is here again."""
        with self._changed:
            self._hash, self._count = hashlib.sha256(), 0

    def _add(self, data: bytes) -> None:
        self._hash.update(data)
        with self._changed:
            self._count += len(data)
            self._changed.notify_all()
        self._progress.layer(self.descriptor.digest.short, State.DOWNLOADING, self._count, self.descriptor.size)

    def _is_right(self) -> bool:
        found = digests.from_hex(self._hash.hexdigest())
        return found == self.descriptor.digest and self._count == self.descriptor.size

    def _too_long(self, host: str) -> RegistryError:
        return RegistryError(
            f"registry {host} sends more than the {self.descriptor.size} bytes of blob {self.descriptor.digest.short}",
            reference="size-mismatch",
            elsewhere=False,
        )


class Downloads:
    """`with Downloads(…):` some at once, in order. After the block, what is not done is not going to be."""

    def __init__(self, downloads: Iterable[Download], stop: Stop) -> None:
        self._downloads = tuple(downloads)
        self._stop = stop
        self._queue: SimpleQueue[Download] = SimpleQueue()
        for download in self._downloads:
            self._queue.put(download)
        count = min(_AT_ONCE, len(self._downloads))
        self._threads = [threading.Thread(target=self._work, name="download", daemon=True) for _ in range(count)]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(_PATIENCE)  # it may wait for a byte, and closes its file when that has come
        if not any(thread.is_alive() for thread in self._threads):
            for download in self._downloads:
                download.close()

    def _work(self) -> None:
        with suppress(Empty):
            while True:
                download = self._queue.get_nowait()
                download.run()
                if self._stop.is_set:
                    download.close()


class Reader:
    """The blob as a stream."""

    def __init__(self, download: Download) -> None:
        self._download = download
        self._offset = 0

    def read(self, size: int, /) -> bytes:
        """The next bytes, none at the end."""
        data = self._download.read(self._offset, size)
        self._offset += len(data)
        return data
