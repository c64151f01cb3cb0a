"""Pull-through: a registry that fetches from another one what it lacks, and keeps it.

Blobs stream to the clients while they are stored and verified (`passages`). What a tag names is asked for again after a
while; when the other registry does not answer, what is here is served. Clients cannot push to a mirror.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from werkzeug import Response

from sandbox.image import digest as digests
from sandbox.registry.errors import ErrorCode
from sandbox.registry.server.exchange import DIGEST_HEADER
from sandbox.registry.server.passages import Passages, UpstreamError
from sandbox.registry.server.refusal import Refusal

if TYPE_CHECKING:
    from sandbox.image.digest import Digest
    from sandbox.registry.server.exchange import Exchange
    from sandbox.registry.server.layout import Layout
    from sandbox.registry.server.manifests import Manifests
    from sandbox.registry.server.passages import FetchedBlob
    from sandbox.registry.server.uploads import Uploads

FRESH = 60.0  # seconds for which a tag is not asked for again


class FetchedManifest(NamedTuple):
    """A manifest as the other registry has it."""

    media_type: str
    data: bytes


class Upstream(Protocol):
    """The other registry. Called by many threads; every method raises UpstreamError."""

    def names(self, repository: str, tag: str, digest: Digest) -> bool:
        """Whether a tag names the digest now, asked without fetching anything; a guess of no costs a fetch."""

    def manifest(self, repository: str, target: Digest | str) -> FetchedManifest | None:
        """A manifest, unverified."""

    def blob(self, repository: str, digest: Digest) -> FetchedBlob | None:
        """A blob, unverified."""

    def tags(self, repository: str) -> list[str] | None:
        """All tags of a repository."""


class Mirror:
    """Fetches for the endpoints. `fresh` is in seconds."""

    def __init__(
        self, layout: Layout, manifests: Manifests, uploads: Uploads, upstream: Upstream, fresh: float
    ) -> None:
        self._layout = layout
        self._manifests = manifests
        self._upstream = upstream
        self._passages = Passages(uploads)
        self._fresh = fresh

    def refresh(self, name: str, target: Digest | str) -> None:
        """Have a manifest here as it is there. Raises Refusal only where there is nothing here to serve."""
        known = self._manifests.resolve(name, target)
        has = known is not None and self._manifests.get(name, known) is not None
        if has and (known == target or self._is_fresh(name, target)):
            return
        try:
            if known is not None and has and self._upstream.names(name, target, known):
                os.utime(self._layout.tags(name) / target)
                return
            found = self._upstream.manifest(name, target)
        except UpstreamError as error:
            if has:
                return
            raise _unavailable(ErrorCode.MANIFEST_UNKNOWN, error) from error
        if found is None:
            if has:
                self._manifests.untag(name, target)
            return
        is_digest = isinstance(target, digests.Digest)
        if is_digest and digests.of(found.data) != target:
            raise Refusal(
                ErrorCode.DIGEST_INVALID, f"what the other registry has as {target} is something else", status=502
            )
        self._manifests.put(name, found.data, found.media_type, tag="" if is_digest else target)

    def tags(self, name: str) -> list[str] | None:
        """The tags that the other registry has, or those here when it does not answer; `None` for no repository."""
        try:
            return self._upstream.tags(name)
        except UpstreamError:
            return self._manifests.tags(name) or None

    def blob(self, exchange: Exchange) -> Response | None:
        """The answer with a blob that is not here yet; `None` if it is not there either."""
        name, digest = exchange.route.repository, exchange.route.digest
        try:
            if exchange.is_head:
                found = self._upstream.blob(name, digest)
                if found is None:
                    return None
                found.close()
                return _answer(digest, found.size)
            passage = self._passages.join(name, digest, lambda: self._upstream.blob(name, digest))
        except UpstreamError as error:
            raise _unavailable(ErrorCode.BLOB_UNKNOWN, error) from error
        if passage is None:
            return None
        response = _answer(digest, passage.size)
        response.response = passage.follow()
        return response

    def _is_fresh(self, name: str, tag: str) -> bool:
        try:
            return time.time() - (self._layout.tags(name) / tag).stat().st_mtime < self._fresh
        except FileNotFoundError:
            return False


def _answer(digest: Digest, size: int) -> Response:
    response = Response(content_type="application/octet-stream", direct_passthrough=True)
    response.content_length = size
    response.headers[DIGEST_HEADER] = digest
    return response


def _unavailable(code: ErrorCode, error: UpstreamError) -> Refusal:
    if error.too_many:
        return Refusal(ErrorCode.TOOMANYREQUESTS, f"the other registry wants fewer requests: {error}")
    return Refusal(code, f"the other registry does not help: {error}", status=502)
