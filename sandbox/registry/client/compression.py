"""How a layer is compressed on its way out: gzip, zstd, or not at all. Used by `packing`.

The same layer always gives the same bytes, on whatever machine: a registry has it once then.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandbox.errors import InvalidError
from sandbox.records import NamedTuple
from sandbox.registry import media

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Protocol, Self

    class Compressor(Protocol):
        """Gives what it is given on, compressed. Leaving it frees what it holds."""

        def __enter__(self) -> Self: ...

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None: ...

        def write(self, data: bytes, /) -> object:
            """The next bytes."""

        def close(self) -> None:
            """There are no more."""


_ZSTD_LEVELS = range(1, 23)


class Form(NamedTuple):
    """A way of compressing, and what the layers are then."""

    name: str
    media_type: str
    level: int = 3  # of zstd alone; the one that it takes by itself

    @property
    def is_plain(self) -> bool:
        """Whether the bytes stay as they are."""
        return self.media_type == media.LAYER

    def describes(self, media_type: str) -> bool:
        """Whether a layer of that type, the OCI's or docker's, is compressed so."""
        ending = self.media_type.removeprefix(media.LAYER).replace("+", ".")
        return media_type.replace("+", ".").endswith(ending or ".tar")

    def compressor(self, write: Callable[[bytes], object]) -> Compressor:
        """One that gives on to `write`."""
        if self.media_type == media.LAYER_GZIP:
            from sandbox.image.blockgzip import BlockGzip  # noqa: PLC0415  (each is loaded for its own form)

            return BlockGzip(write)
        return _Zstd(self.level, write) if self.media_type == media.LAYER_ZSTD else _Plain(write)


GZIP = Form("gzip", media.LAYER_GZIP)
_FORMS = {one.name: one for one in (GZIP, Form("zstd", media.LAYER_ZSTD), Form("uncompressed", media.LAYER))}


class Packed(NamedTuple):
    """How layers leave: those that are sent have `form`; with `always` no blob of another form counts as the layer."""

    form: Form = GZIP
    always: bool = False


AS_KNOWN = Packed()  # what a registry has already stays as it is


def parse_form(name: str, level: str = "") -> Form:
    """The form of that name, with a level where one is given. Raises InvalidError."""
    form = _FORMS.get(name)
    if form is None:
        raise InvalidError(f"there is no compression {name!r}", hint=f"choose one of {', '.join(_FORMS)}")
    if not level:
        return form
    if form.media_type != media.LAYER_ZSTD:
        raise InvalidError(f"compression {name} has no levels here", hint="zstd has: 1 to 22")
    if not (level.isascii() and level.isdigit() and len(level) < 3 and int(level) in _ZSTD_LEVELS):
        raise InvalidError(f"zstd has no level {level!r}", hint="levels are 1 to 22")
    return form._replace(level=int(level))


class _Plain:
    """Bytes as they are."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._give = write

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def write(self, data: bytes, /) -> object:
        """Given on at once."""
        return self._give(data)

    def close(self) -> None:
        """Nothing is held back."""


class _Zstd(_Plain):
    """zstd (RFC 8878) on every processor; with threads at all, their number makes no difference to what comes out."""

    def __init__(self, level: int, write: Callable[[bytes], object]) -> None:
        import zstandard  # noqa: PLC0415

        super().__init__(write)
        self._compressor = zstandard.ZstdCompressor(level=level, threads=os.cpu_count() or 1).compressobj()

    def write(self, data: bytes, /) -> object:
        """Given on as far as it is ready."""
        return self._give(self._compressor.compress(data))

    def close(self) -> None:
        """The rest of what was held back."""
        self._give(self._compressor.flush())
