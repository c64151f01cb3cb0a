"""Compressed archives, opened by what they are, never by their name, and only inside this process.

No program is started for it: docker ran the container's own `unxz` (CVE-2026-41567). Memory is bounded whatever the
input; the length of the output is bounded by whoever reads it (`TarSource`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from sandbox.errors import InvalidError

if TYPE_CHECKING:
    from typing import IO, Protocol

    from sandbox.image.tarsource import Readable

    class _Decompressor(Protocol):
        """What zlib, lzma, bz2 and zstandard objects have in common here."""

        @property
        def eof(self) -> bool:
            """Whether the member has ended."""

        @property
        def unused_data(self) -> bytes:
            """What came after its end."""

        def decompress(self, data: bytes, max_length: int, /) -> bytes:
            """Decompress."""


_MAGIC_SIZE = 6
_GZIP = b"\x1f\x8b"
_XZ = b"\xfd7zXZ\0"
_BZIP2 = b"BZh"
_ZSTD = b"\x28\xb5\x2f\xfd"
_CHUNK = 1 << 18
_XZ_MEMORY = 256 << 20  # bytes; `xz -9` needs 65 MiB
_ZSTD_WINDOW = 128 << 20


def open_stream(stream: Readable) -> Readable:
    """The uncompressed bytes of a plain, gzip, xz, bzip2 or zstd stream."""
    head = b""
    while len(head) < _MAGIC_SIZE and (more := stream.read(_MAGIC_SIZE - len(head))):
        head += more
    source = _Pushback(head, stream)
    if head.startswith(_GZIP):
        return _Inflated(source, "gzip")
    if head == _XZ:
        return _Inflated(source, "xz")
    if head.startswith(_BZIP2):
        return _Inflated(source, "bzip2")
    if head.startswith(_ZSTD):
        return _zstd(source)
    return source


def is_compressed(head: bytes) -> bool:
    """Whether a stream that begins so is one that `open_stream` inflates."""
    return head.startswith((_GZIP, _XZ, _BZIP2, _ZSTD))


class _Pushback:
    """A stream whose first bytes were read already."""

    def __init__(self, head: bytes, stream: Readable) -> None:
        self._head = head
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        if self._head:
            head, self._head = self._head[:size], self._head[size:]
            return head
        return self._stream.read(size)


class _Inflated:
    """Members of one format, one after another, as `cat a.gz b.gz` makes them."""

    def __init__(self, source: Readable, form: str) -> None:
        self._source = source
        self._form = form
        self._decompressor = _decompressor(form)
        self._input = b""
        self._ended = False  # the source
        self._finished = False

    def read(self, size: int, /) -> bytes:
        while not self._finished:
            if self._decompressor.eof and not self._next_member():
                self._finished = True
                break
            # zlib gives input back that it had no room for; the others keep it and say so.
            if not self._input and not self._ended and getattr(self._decompressor, "needs_input", True):
                self._input = self._source.read(_CHUNK)
                self._ended = not self._input
            try:
                data = self._decompressor.decompress(self._input, size)
            except Exception as error:  # zlib.error, lzma.LZMAError, OSError, EOFError: by format
                raise InvalidError(
                    f"the {self._form} data are damaged: {error}", reference="invalid-archive"
                ) from error
            self._input = getattr(self._decompressor, "unconsumed_tail", b"")
            if data:
                return data
            if self._ended and not self._decompressor.eof:
                raise InvalidError(f"the {self._form} data are cut short", reference="invalid-archive")
        return b""

    def _next_member(self) -> bool:
        rest = self._decompressor.unused_data
        while not rest.lstrip(b"\0"):  # padding, as tapes have it
            rest = self._source.read(_CHUNK)
            if not rest:
                return False
        self._input = rest.lstrip(b"\0")
        self._decompressor = _decompressor(self._form)
        return True


def _decompressor(form: str) -> _Decompressor:
    if form == "gzip":
        from isal import isal_zlib  # noqa: PLC0415  (three times as fast as zlib)

        return cast("_Decompressor", isal_zlib.decompressobj(wbits=31))
    if form == "xz":
        import lzma  # noqa: PLC0415

        return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
    import bz2  # noqa: PLC0415

    return bz2.BZ2Decompressor()


def _zstd(source: Readable) -> Readable:
    import zstandard  # noqa: PLC0415

    reader = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).stream_reader(
        cast("IO[bytes]", source), read_across_frames=True
    )
    return _Checked(reader, zstandard.ZstdError)


class _Checked:
    """A reader of a library, whose error is ours."""

    def __init__(self, reader: Readable, error: type[Exception]) -> None:
        self._reader = reader
        self._error = error

    def read(self, size: int, /) -> bytes:
        try:
            return self._reader.read(size)
        except self._error as error:
            raise InvalidError(f"the zstd data are damaged: {error}", reference="invalid-archive") from error
