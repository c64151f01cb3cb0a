"""The endpoints for pulls: blobs and manifests, and whether they are there. Source: OCI distribution-spec, "Pull"."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandbox.image.digest import Digest
from sandbox.registry.errors import ErrorCode
from sandbox.registry.server import content, repositories
from sandbox.registry.server.refusal import Refusal

if TYPE_CHECKING:
    from werkzeug import Response

    from sandbox.registry.server.exchange import Exchange


def blob(exchange: Exchange) -> Response:
    """GET and HEAD of a blob. HEAD is what a push asks before it leaves a blob out: it claims the blob."""
    parts, name, digest = exchange.parts, exchange.route.repository, exchange.route.digest
    known = content.fresh(exchange, digest, by_name=False)
    if exchange.is_head and parts.takes_changes:
        parts.blobs.claim(name, digest)
    found = parts.blobs.open(name, digest)
    if found is None:
        fetched = parts.mirror.blob(exchange) if parts.mirror is not None else None
        if fetched is None:
            raise unknown_blob(exchange)
        return fetched
    if known is not None:
        found.close()
        return known
    return content.file(exchange, digest, found, os.fstat(found.fileno()).st_size)


def manifest(exchange: Exchange) -> Response:
    """GET and HEAD of a manifest, by tag or digest."""
    parts, name, target = exchange.parts, exchange.route.repository, exchange.route.target
    by_name = not isinstance(target, Digest)
    if parts.mirror is not None:
        parts.mirror.refresh(name, target)
    digest = parts.manifests.resolve(name, target)
    stored = parts.manifests.get(name, digest) if digest is not None else None
    if stored is None:
        if not repositories.exists(parts.layout, name):
            raise unknown_repository(name)
        raise Refusal(
            ErrorCode.MANIFEST_UNKNOWN, f"the repository has no manifest {target}", detail={"reference": target}
        )
    known = content.fresh(exchange, stored.digest, by_name=by_name)
    if known is not None:
        return known
    return content.document(exchange, stored.digest, stored.media_type, stored.data, by_name=by_name)


def unknown_blob(exchange: Exchange) -> Refusal:
    """The error for a blob that the repository lacks."""
    digest = exchange.route.digest
    return Refusal(ErrorCode.BLOB_UNKNOWN, f"the repository has no blob {digest}", detail={"digest": digest})


def unknown_repository(name: str) -> Refusal:
    """The error for a repository to which nothing was pushed."""
    return Refusal(ErrorCode.NAME_UNKNOWN, f"there is no repository {name}", detail={"name": name})
