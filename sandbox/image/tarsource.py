"""The bytes of an archive on their way in: buffered, hashed and counted.

One pass over a stream that may be a pipe: headers come out as blocks, file contents as views into the buffer, without a
copy.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandbox.errors import LimitError
from sandbox.image.tarformat import BLOCK, malformed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Protocol

    class Readable(Protocol):
        """A stream; `read` returns at most as many bytes as asked for, none at the end."""

        def read(self, size: int, /) -> bytes:
            """Read."""

    class Hash(Protocol):
        """An object of hashlib."""

        def update(self, data: bytes, /) -> None:
            """Add bytes."""

        def hexdigest(self) -> str:
            """The digest in hexadecimal figures."""


CHUNK = 1 << 18  # stays in the second-level cache between hashing and writing


class TarSource:
    """Reads `stream` to its end. `limit` bounds the bytes read in all; more raise LimitError."""

    def __init__(self, stream: Readable, *, limit: int, hasher: Hash | None = None) -> None:
        self._stream = stream
        self._hash = hasher
        self._limit = limit
        self._buffer = b""
        self._position = 0
        self.count = 0  # bytes read from the stream

    def block(self) -> bytes | None:
        """The next 512 bytes; `None` at the stream's end. Raises InvalidError in the middle of a block."""
        start = self._position
        end = start + BLOCK
        if end > len(self._buffer):
            self._fill(BLOCK)
            start, end = 0, BLOCK
            if len(self._buffer) < BLOCK:
                if self._buffer:
                    raise malformed("it ends in the middle of a block")
                return None
        self._position = end
        return self._buffer[start:end]

    def take(self, size: int) -> bytes:
        """Exactly `size` bytes, a bounded number, in memory."""
        return b"".join(self.views(size))

    def views(self, size: int) -> Iterator[bytes | memoryview]:
        """Exactly `size` bytes in pieces. A piece is valid until the next is asked for. Raises InvalidError when cut
        short.
        """
        while size:
            available = len(self._buffer) - self._position
            if not available:
                self._fill(1)
                available = len(self._buffer)
                if not available:
                    raise malformed("it is cut short")
            take = min(size, available)
            start = self._position
            self._position = start + take
            size -= take
            if take < 4096:  # a copy costs less than a view
                yield self._buffer[start : start + take]
            else:
                yield memoryview(self._buffer)[start : start + take]

    def skip(self, size: int) -> None:
        """Read over `size` bytes."""
        inside = self._position + size
        if inside <= len(self._buffer):
            self._position = inside
            return
        for _ in self.views(size):
            pass

    def drain(self) -> None:
        """Read to the stream's end: a layer's digest covers what follows its end marker."""
        for _ in self._rest():
            pass

    def _rest(self) -> Iterator[bytes]:
        """All that is left, in pieces."""
        rest = self._buffer[self._position :]
        self._buffer, self._position = b"", 0
        if rest:
            yield rest
        while rest := self._read():
            yield rest

    def _fill(self, wanted: int) -> None:
        """Read on until `wanted` bytes are in the buffer, or the stream has ended."""
        parts = [self._buffer[self._position :]]
        length = len(parts[0])
        while length < wanted:
            chunk = self._read()
            if not chunk:
                break
            parts.append(chunk)
            length += len(chunk)
        self._buffer = parts[-1] if len(parts) == 2 and not parts[0] else b"".join(parts)
        self._position = 0

    def _read(self) -> bytes:
        chunk = self._stream.read(CHUNK)
        self.count += len(chunk)
        if self.count > self._limit:
            raise LimitError(
                f"the archive has more than {self._limit} bytes", hint="raise the limit, or free space on the disk"
            )
        if self._hash is not None:
            self._hash.update(chunk)
        return chunk


class RecordingSource(TarSource):
    """Also gives `record` all that is not contents of an entry asked for by `views`: headers, padding, what is
    skipped.
    """

    def __init__(
        self, stream: Readable, *, limit: int, record: Callable[[bytes], object], hasher: Hash | None = None
    ) -> None:
        super().__init__(stream, limit=limit, hasher=hasher)
        self._record = record

    def block(self) -> bytes | None:
        """As `TarSource.block`."""
        block = super().block()
        if block is not None:
            self._record(block)
        return block

    def take(self, size: int) -> bytes:
        """As `TarSource.take`."""
        data = super().take(size)
        self._record(data)
        return data

    def skip(self, size: int) -> None:
        """As `TarSource.skip`."""
        for piece in self.views(size):
            self._record(bytes(piece))

    def drain(self) -> None:
        """As `TarSource.drain`."""
        for piece in self._rest():
            self._record(piece)


class SeekingSource(TarSource):
    """Of a file that can be read anywhere: what is skipped is not read."""

    def __init__(self, fd: int, *, limit: int) -> None:
        self._fd = fd
        self._offset = 0
        super().__init__(self, limit=limit)

    def read(self, size: int, /) -> bytes:
        """The next bytes of the file."""
        data = os.pread(self._fd, size, self._offset)
        self._offset += len(data)
        return data

    @property
    def position(self) -> int:
        """Where the next byte lies in the file."""
        return self._offset - (len(self._buffer) - self._position)

    def skip(self, size: int) -> None:
        """As `TarSource.skip`; beyond the file's end the next read finds that out."""
        left = len(self._buffer) - self._position
        if size <= left:
            self._position += size
            return
        self._offset += size - left
        self._buffer, self._position = b"", 0
