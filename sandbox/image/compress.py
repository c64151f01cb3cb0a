"""An archive on its way out, compressed: gzip (RFC 1952) or zstd (RFC 8878). The opposite of `decompress`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Compressor(Protocol):
        """An object of zlib or zstandard."""

        def compress(self, data: bytes | memoryview, /) -> bytes:
            """What is ready of the output."""

        def flush(self) -> bytes:
            """The rest of it."""


FORMS = ("gzip", "zstd")
_GZIP = 31  # zlib's number for a window of 32 KiB in gzip's form


class Compressed:
    """Gives what is written to it on to `write`, compressed in one of `FORMS`; `close` gives the rest."""

    def __init__(self, form: str, write: Callable[[bytes | memoryview], object]) -> None:
        self._write = write
        self._compressor = _compressor(form)

    def write(self, data: bytes | memoryview) -> None:
        """The next bytes."""
        self._write(self._compressor.compress(data))

    def close(self) -> None:
        """There are no more."""
        self._write(self._compressor.flush())


def _compressor(form: str) -> Compressor:
    if form == "gzip":
        from isal import isal_zlib  # noqa: PLC0415  (each is loaded for its own form)

        made: Compressor = isal_zlib.compressobj(level=2, wbits=_GZIP)
        return made
    import zstandard  # noqa: PLC0415

    return zstandard.ZstdCompressor(threads=-1).compressobj()
