"""A layer on its way out: written as it came, compressed into a file (`compression`), and sent while that grows.

The file makes an upload that breaks go on where it broke, without compressing anything twice.
"""

from __future__ import annotations

import hashlib
import os
import threading
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError
from sandbox.image import digest as digests
from sandbox.registry.client.compression import GZIP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from sandbox.image.digest import Digest
    from sandbox.registry.client.compression import Form
    from sandbox.registry.client.retrying import Stop

_CHUNK = 1 << 18  # bytes


class Packing:
    """`with Packing(path, pieces, stop, form) as packing:` compresses `pieces` in a thread into the new file `path`."""

    def __init__(self, path: Path, pieces: Callable[[], Iterable[bytes]], stop: Stop, form: Form = GZIP) -> None:
        self._pieces = pieces
        self._form = form
        self._stop = stop
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._hash = hashlib.sha256()
        self._count = 0
        self._ended = False
        self._abandoned = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="pack", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._abandoned = True
        self._thread.join()
        os.close(self._fd)

    def result(self) -> tuple[Digest, int]:
        """Digest and size of the compressed layer, when there are no more bytes to come. Raises what went wrong."""
        with self._changed:
            while not self._ended:
                self._changed.wait()
        if self._error is not None:
            raise self._error
        return digests.from_hex(self._hash.hexdigest()), self._count

    def read(self, offset: int) -> Iterator[bytes]:
        """The compressed bytes from there on, as they come."""
        while True:
            with self._changed:
                while self._count <= offset and not self._ended:
                    self._changed.wait()
                ready = self._count - offset
            if self._error is not None:
                raise self._error
            if not ready:
                return
            if self._stop.is_set:
                raise SandboxError("the push was stopped", reference="stopped")
            data = os.pread(self._fd, min(ready, _CHUNK), offset)
            offset += len(data)
            yield data

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            with self._form.compressor(self._write) as compressor:
                for piece in self._pieces():
                    if self._abandoned or self._stop.is_set:
                        raise SandboxError("the push was stopped", reference="stopped")
                    compressor.write(piece)
                compressor.close()
        except BaseException as raised:
            error = raised
        with self._changed:
            self._error, self._ended = error, True
            self._changed.notify_all()

    def _write(self, data: bytes) -> None:
        self._hash.update(data)
        view = memoryview(data)
        while view:
            view = view[os.pwrite(self._fd, view, self._count + len(data) - len(view)) :]
        with self._changed:
            self._count += len(data)
            self._changed.notify_all()
