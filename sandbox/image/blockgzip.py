"""gzip (RFC 1952) on every processor: for layers on their way to a registry.

The input is cut into blocks, each compressed by itself and ended with a full flush, so that together they are one
member that every reader takes. Where the caller cuts its writes makes no difference to what comes out. What the blocks
cannot share (32 KiB of history) costs half a percent. The idea is pigz's.
"""

from __future__ import annotations

import os
import struct
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from isal import isal_zlib

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from types import TracebackType
    from typing import Self

_BLOCK = 1 << 20  # bytes
_LEVEL = 2  # of 0 to 3
_HEAD = b"\x1f\x8b\x08\x00\0\0\0\0\x00\xff"  # deflate, no name, no time, no system
_END = b"\x03\x00"  # an empty last block
_RAW = -15  # zlib's number for a window of 32 KiB without head and checksum


class BlockGzip:
    """`with BlockGzip(write) as gzip: gzip.write(data); gzip.close()`. `write` gets the compressed bytes in order."""

    def __init__(self, write: Callable[[bytes], object], threads: int | None = None) -> None:
        self._write = write
        self._threads = threads or os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="gzip")
        self._pending: deque[Future[bytes]] = deque()
        self._buffer = bytearray()
        self._sum = 0
        self._size = 0

    def __enter__(self) -> Self:
        self._write(_HEAD)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def write(self, data: bytes | memoryview) -> None:
        """The next bytes."""
        self._buffer += data
        while len(self._buffer) >= _BLOCK:
            self._begin(bytes(memoryview(self._buffer)[:_BLOCK]))
            del self._buffer[:_BLOCK]

    def close(self) -> None:
        """There are no more."""
        if self._buffer:
            self._begin(bytes(self._buffer))
        while self._pending:
            self._write(self._pending.popleft().result())
        self._write(_END + struct.pack("<II", self._sum, self._size & 0xFFFFFFFF))

    def _begin(self, block: bytes) -> None:
        self._sum = isal_zlib.crc32(block, self._sum)
        self._size += len(block)
        self._pending.append(self._pool.submit(_deflated, block))
        if len(self._pending) > 2 * self._threads:
            self._write(self._pending.popleft().result())


def _deflated(block: bytes) -> bytes:
    compressor = isal_zlib.compressobj(level=_LEVEL, wbits=_RAW)
    data: bytes = compressor.compress(block)
    return data + compressor.flush(isal_zlib.Z_FULL_FLUSH)
