"""The endpoints that delete: a tag alone, a manifest with its tags, a blob. Source: OCI distribution-spec, "Content
Management". What nothing refers to any more goes with the next garbage collection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.image.digest import Digest
from sandbox.registry.errors import ErrorCode
from sandbox.registry.server import repositories
from sandbox.registry.server.content import nothing
from sandbox.registry.server.pulling import unknown_blob, unknown_repository
from sandbox.registry.server.refusal import Refusal

if TYPE_CHECKING:
    from werkzeug import Response

    from sandbox.registry.server.exchange import Exchange


def manifest(exchange: Exchange) -> Response:
    """DELETE of a manifest by its digest, or of a tag."""
    parts, name, target = exchange.parts, exchange.route.repository, exchange.route.target
    if not repositories.exists(parts.layout, name):
        raise unknown_repository(name)
    delete = parts.manifests.delete if isinstance(target, Digest) else parts.manifests.untag
    if not delete(name, target):  # type: ignore[arg-type]
        raise Refusal(
            ErrorCode.MANIFEST_UNKNOWN, f"the repository has no manifest {target}", detail={"reference": target}
        )
    return nothing(202)


def blob(exchange: Exchange) -> Response:
    """DELETE of a blob, from this repository alone."""
    if not exchange.parts.blobs.delete(exchange.route.repository, exchange.route.digest):
        raise unknown_blob(exchange)
    return nothing(202)
