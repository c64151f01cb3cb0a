"""The endpoints for pushes: uploads of blobs, whole and in chunks, mounts, and manifests.

Source: OCI distribution-spec, "Push"; docker's clients send a blob as one PATCH of unknown length and close it by an
empty PUT.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sandbox.errors import InvalidError
from sandbox.image import digest as digests
from sandbox.registry import names
from sandbox.registry.errors import ErrorCode
from sandbox.registry.server.content import nothing
from sandbox.registry.server.exchange import DIGEST_HEADER
from sandbox.registry.server.refusal import Refusal

if TYPE_CHECKING:
    from werkzeug import Response

    from sandbox.image.digest import Digest
    from sandbox.registry.server.exchange import Exchange
    from sandbox.registry.server.uploads import Upload

_CONTENT_RANGE = re.compile(r"(\d{1,18})-(\d{1,18})", re.ASCII)


def begin(exchange: Exchange) -> Response:
    """POST: begin an upload; or have it done at once, by mounting a blob or with the content in the request."""
    name, uploads = exchange.route.repository, exchange.parts.uploads
    if "mount" in exchange.request.args:
        mounted = _mount(exchange)
        if mounted is not None:
            return _created(exchange, mounted)
    _check_room(exchange, 1)
    if "digest" in exchange.request.args:
        digest = _digest(exchange)
        upload = uploads.begin(name)
        with uploads.open(name, upload) as opened:
            try:
                _append(exchange, opened)
                _complete(exchange, opened, digest)
            except BaseException:  # nobody knows its id
                opened.cancel()
                raise
        return _created(exchange, digest)
    return _progress(exchange, uploads.begin(name), 0, 202)


def append(exchange: Exchange) -> Response:
    """PATCH: a chunk, or all there is."""
    name, upload = exchange.route.repository, exchange.route.upload
    with exchange.parts.uploads.open(name, upload) as opened:
        _append(exchange, opened)
        return _progress(exchange, upload, opened.size, 202)


def complete(exchange: Exchange) -> Response:
    """PUT: the last chunk, or nothing, and the digest of the whole."""
    digest = _digest(exchange)
    with exchange.parts.uploads.open(exchange.route.repository, exchange.route.upload) as opened:
        _append(exchange, opened)
        _complete(exchange, opened, digest)
    return _created(exchange, digest)


def status(exchange: Exchange) -> Response:
    """GET: how far an upload is."""
    name, upload = exchange.route.repository, exchange.route.upload
    return _progress(exchange, upload, exchange.parts.uploads.size(name, upload), 204)


def cancel(exchange: Exchange) -> Response:
    """DELETE: give an upload up."""
    with exchange.parts.uploads.open(exchange.route.repository, exchange.route.upload) as opened:
        opened.cancel()
    return nothing(204)


def manifest(exchange: Exchange) -> Response:
    """PUT of a manifest, by tag or digest."""
    name, target, limit = exchange.route.repository, exchange.route.target, exchange.parts.limits.manifest
    if (exchange.request.content_length or 0) > limit:
        raise _too_large(limit)
    data = bytearray()
    for block in exchange.body():
        data += block
        if len(data) > limit:
            raise _too_large(limit)
    is_digest = isinstance(target, digests.Digest)
    if is_digest and digests.of(bytes(data)) != target:
        raise Refusal(ErrorCode.DIGEST_INVALID, "the manifest has another digest", detail={"digest": target})
    digest, document = exchange.parts.manifests.put(
        name, bytes(data), exchange.request.mimetype, tag="" if is_digest else target
    )
    response = nothing(201)
    response.headers["Location"] = exchange.location(name, "manifests", target)
    response.headers[DIGEST_HEADER] = digest
    if document.subject is not None:
        response.headers["OCI-Subject"] = document.subject
    return response


def _mount(exchange: Exchange) -> Digest | None:
    """The digest of the blob that was mounted; `None` when the client has to upload it, whatever the reason."""
    arguments, parts = exchange.request.args, exchange.parts
    try:
        digest = digests.parse(arguments["mount"])
    except InvalidError:
        return None
    source = arguments.get("from")
    if source is None:
        if not parts.mounts_anything:
            return None
    elif not names.is_repository(source) or not exchange.may_pull(source):
        return None
    size, name = parts.blobs.size(source, digest), exchange.route.repository
    if size is None:
        return None
    if parts.blobs.size(name, digest) is None:
        _check_room(exchange, size)
    return digest if parts.blobs.mount(name, digest, source) else None


def _append(exchange: Exchange, upload: Upload) -> None:
    """Take the content of the request in. Raises Refusal; a chunk that is not what its range says leaves nothing."""
    start = upload.size
    length = _chunk(exchange, start)
    quota, most = exchange.parts.quotas.room(exchange.route.repository), exchange.parts.limits.blob
    if quota is not None and quota < most:
        upload.append(exchange.body(), room=max(quota, 0), over=_used_up(quota))
    else:
        over = Refusal(ErrorCode.SIZE_INVALID, f"the blob is larger than {most} bytes", status=413)
        upload.append(exchange.body(), room=most, over=over)
    if length is not None and upload.size - start != length:
        upload.rewind(start)
        raise Refusal(
            ErrorCode.SIZE_INVALID, f"Content-Range speaks of {length} bytes, and the content has another size"
        )


def _chunk(exchange: Exchange, start: int) -> int | None:
    """How long `Content-Range` says the chunk is, if it says so. Raises Refusal when it is no range, or not the next
    one.
    """
    text = exchange.request.headers.get("Content-Range")
    if text is None:
        return None
    matched = _CONTENT_RANGE.fullmatch(text)
    if matched is None or int(matched[1]) != start or int(matched[2]) < int(matched[1]):
        raise Refusal(
            ErrorCode.BLOB_UPLOAD_INVALID,
            f"the next chunk begins at {start}, as in `Content-Range: {start}-{start + 9}`",
            status=416,
            headers=dict(_progress(exchange, exchange.route.upload, start, 416).headers),
        )
    length = int(matched[2]) + 1 - start
    if exchange.request.content_length not in (None, length):
        raise Refusal(
            ErrorCode.SIZE_INVALID, f"Content-Range speaks of {length} bytes, Content-Length of another number"
        )
    return length


def _complete(exchange: Exchange, upload: Upload, digest: Digest) -> None:
    _check_room(exchange, upload.size)  # once more: others may have been faster
    upload.complete(digest)


def _check_room(exchange: Exchange, size: int) -> None:
    room = exchange.parts.quotas.room(exchange.route.repository)
    if room is not None and room < size:
        raise _used_up(room)


def _digest(exchange: Exchange) -> Digest:
    text = exchange.request.args.get("digest", "")
    try:
        return digests.parse(text)
    except InvalidError as error:
        raise Refusal(ErrorCode.DIGEST_INVALID, error.message, detail={"digest": text[:300]}) from None


def _progress(exchange: Exchange, upload: str, size: int, code: int) -> Response:
    """The answer of an upload that goes on. Of nothing at all the range is `0-0`, as of a single byte: the
    specification has no other way to say it.
    """
    response = nothing(code)
    response.headers["Location"] = exchange.location(exchange.route.repository, "blobs", "uploads", upload)
    response.headers["Range"] = f"0-{max(size - 1, 0)}"
    response.headers["Docker-Upload-UUID"] = upload
    return response


def _created(exchange: Exchange, digest: Digest) -> Response:
    response = nothing(201)
    response.headers["Location"] = exchange.location(exchange.route.repository, "blobs", digest)
    response.headers[DIGEST_HEADER] = digest
    return response


def _used_up(room: int) -> Refusal:
    return Refusal(ErrorCode.DENIED, "the quota of the repository is used up", detail={"left": max(room, 0)})


def _too_large(limit: int) -> Refusal:
    return Refusal(ErrorCode.SIZE_INVALID, f"the manifest is larger than {limit} bytes", status=413)
