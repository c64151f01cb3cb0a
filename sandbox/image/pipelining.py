"""Reading, inflating and hashing beside the process's main work, in one thread: hashlib, zlib and read(2) let go of the
interpreter, so a layer is hashed on one processor while its files are made on another.

`Ahead` reads a stream before its bytes are wanted, `Behind` hashes what was written. Memory is bounded: a few chunks.
"""

from __future__ import annotations

import queue
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from sandbox.image.tarsource import Hash, Readable

_CHUNK = 1 << 18  # stays in the second-level cache between reading and hashing
_DEPTH = 16  # chunks under way
_PATIENCE = 50  # hundredths of a second


class Ahead:
    """`with Ahead(stream, hasher) as ahead: ahead.read(size)`; after the stream's end `hasher` has seen all of it.

    What the stream raises, `read` raises. Leaving the block stops reading; a read under way is waited for, but not for
    long: nobody may ever write to that pipe again.
    """

    def __init__(self, stream: Readable, hasher: Hash) -> None:
        self._stream = stream
        self._hash = hasher
        self._queue: queue.Queue[bytes | BaseException] = queue.Queue(_DEPTH)
        self._rest = b""
        self._stopped = False
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="read-ahead", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped = True
        for _ in range(_PATIENCE):
            if not self._thread.is_alive():
                break
            with suppress(queue.Empty):
                self._queue.get(timeout=0.01)  # it may be waiting for room

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, none at the end."""
        if not self._rest:
            if self._ended:
                return b""
            item = self._queue.get()
            if isinstance(item, BaseException):
                self._ended = True
                raise item
            self._rest = item
            self._ended = not item
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def _run(self) -> None:
        try:
            while not self._stopped:
                chunk = self._stream.read(_CHUNK)
                self._hash.update(chunk)
                self._queue.put(chunk)
                if not chunk:
                    return
        except BaseException as error:
            self._queue.put(error)


class Behind:
    """`with Behind(hasher) as behind: behind.write(data)`; after the block `hexdigest` is of all that was written.

    What fits one chunk, as most steps of a build do, is hashed at the end of the block, without a thread.
    """

    def __init__(self, hasher: Hash) -> None:
        self._hash = hasher
        self._queue: queue.Queue[bytes] = queue.Queue(_DEPTH)
        self._parts: list[bytes] = []
        self._length = 0
        self.count = 0  # bytes written
        self._thread = threading.Thread(target=self._run, name="hash-behind", daemon=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread.is_alive():
            self._flush()
            self._queue.put(b"")
            self._thread.join()
        elif error is None:
            self._hash.update(b"".join(self._parts))
            self.count = self._length

    def write(self, data: bytes | memoryview) -> None:
        """Hash it, in order, some time before the end of the block."""
        self._parts.append(bytes(data))
        self._length += len(data)
        if self._length >= _CHUNK:
            if not self.count:
                self._thread.start()
            self._flush()

    def hexdigest(self) -> str:
        """Of all that was written; after the block."""
        return self._hash.hexdigest()

    def _flush(self) -> None:
        if self._length:
            self.count += self._length
            self._queue.put(b"".join(self._parts))
            self._parts, self._length = [], 0

    def _run(self) -> None:
        while chunk := self._queue.get():
            self._hash.update(chunk)
