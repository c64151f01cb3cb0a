"""Answers with content: entity tags, ranges, and files that the kernel sends by itself (sendfile(2)).

Content under a digest never changes: the digest is the entity tag, and what a client has is fresh for ever. Source: RFC
9110 §13 (conditional requests) and §14 (ranges).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from werkzeug import Response
from werkzeug.http import parse_range_header, quote_etag
from werkzeug.wsgi import wrap_file

from sandbox.registry.errors import ErrorCode
from sandbox.registry.server.exchange import DIGEST_HEADER
from sandbox.registry.server.refusal import Refusal

if TYPE_CHECKING:
    from sandbox.image.digest import Digest
    from sandbox.registry.server.exchange import Exchange

_FOR_EVER = "max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"  # what a tag names may change
_BLOCK = 256 << 10


class Part:
    """A stretch of a file, from where it stands: what WSGI's file wrapper reads, or gives to the kernel."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file = file
        self._left = length

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes of the rest."""
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data

    def fileno(self) -> int:
        """Of the file. The server stops after `Content-Length` bytes."""
        return self._file.fileno()

    def tell(self) -> int:
        """Where in the file it stands."""
        return self._file.tell()

    def close(self) -> None:
        """The file."""
        self._file.close()


def nothing(status: int) -> Response:
    """An answer that is only headers."""
    response = Response(status=status)
    del response.headers["Content-Type"]
    response.content_length = 0
    return response


def fresh(exchange: Exchange, digest: Digest, *, by_name: bool) -> Response | None:
    """The answer to a client that has the content already, or `None`."""
    if not exchange.request.if_none_match.contains_weak(digest):
        return None
    response = nothing(304)
    _mark(response, digest, by_name=by_name)
    return response


def document(exchange: Exchange, digest: Digest, media_type: str, data: bytes, *, by_name: bool) -> Response:
    """An answer with content that is in memory; `by_name` when a tag was asked for."""
    response = Response(b"" if exchange.is_head else data, content_type=media_type)
    response.content_length = len(data)
    _mark(response, digest, by_name=by_name)
    return response


def file(exchange: Exchange, digest: Digest, content: BinaryIO, size: int) -> Response:
    """An answer with a file, or with the range of it that is wanted. Raises Refusal for one outside of it."""
    start, stop = 0, size
    try:
        wanted = _range(exchange, digest, size)
    except Refusal:
        content.close()
        raise
    if wanted is not None:
        start, stop = wanted
    response = Response(content_type="application/octet-stream", direct_passthrough=True)
    if wanted is not None:
        response.status_code = 206
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    if exchange.is_head or start == stop:
        content.close()
    else:
        content.seek(start)
        response.response = wrap_file(exchange.request.environ, Part(content, stop - start), _BLOCK)  # type: ignore[arg-type]
    response.content_length = stop - start
    response.headers["Accept-Ranges"] = "bytes"
    _mark(response, digest, by_name=False)
    return response


def _mark(response: Response, digest: Digest, *, by_name: bool) -> None:
    response.headers[DIGEST_HEADER] = digest
    response.headers["ETag"] = quote_etag(digest)
    response.headers["Cache-Control"] = _ASK_AGAIN if by_name else _FOR_EVER


def _range(exchange: Exchange, digest: Digest, size: int) -> tuple[int, int] | None:
    """First byte and end of the range that is wanted; `None` for all. Several ranges may be answered with all."""
    if exchange.is_head:  # RFC 9110 §14.2: a range is GET's
        return None
    text = exchange.request.headers.get("Range", "")
    if_range = exchange.request.if_range
    if if_range.date is not None or (if_range.etag is not None and if_range.etag != digest):
        return None
    wanted = parse_range_header(text)
    if wanted is None or wanted.units != "bytes" or len(wanted.ranges) != 1:
        return None
    found = wanted.range_for_length(size)
    if found is None:
        raise Refusal(
            ErrorCode.UNSUPPORTED,
            f"the range {text[:100]!r} is outside of the {size} bytes",
            status=416,
            headers={"Content-Range": f"bytes */{size}"},
        )
    return found
