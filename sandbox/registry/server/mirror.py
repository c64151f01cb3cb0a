"""Pull-through: a registry that fetches from another one what it lacks, and keeps it.

Content streams to the client while it is stored and verified; the last block is held back until the digest is right, so
nobody receives a wrong blob whole. What a tag names is asked for again after a while; when the other registry does not
answer, what is here is served. Clients cannot push to a mirror.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from werkzeug import Response

from sandbox.image import digest as digests
from sandbox.registry.errors import ErrorCode
from sandbox.registry.server.exchange import DIGEST_HEADER
from sandbox.registry.server.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from sandbox.image.digest import Digest
    from sandbox.registry.server.exchange import Exchange
    from sandbox.registry.server.layout import Layout
    from sandbox.registry.server.manifests import Manifests
    from sandbox.registry.server.uploads import Upload, Uploads

FRESH = 60.0  # seconds for which a tag is not asked for again


class UpstreamError(Exception):
    """The other registry does not answer, or refuses; `too_many` when it wants fewer requests."""

    def __init__(self, message: str, *, too_many: bool = False) -> None:
        super().__init__(message)
        self.too_many = too_many


class FetchedManifest(NamedTuple):
    """A manifest as the other registry has it."""

    media_type: str
    data: bytes


class FetchedBlob(Protocol):
    """A blob on its way. Blocks may raise UpstreamError."""

    size: int

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None:
        """Stop fetching; may be called at any time, and twice."""


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
        self._uploads = uploads
        self._upstream = upstream
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
            found = self._upstream.blob(name, digest)
        except UpstreamError as error:
            raise _unavailable(ErrorCode.BLOB_UNKNOWN, error) from error
        if found is None:
            return None
        response = Response(content_type="application/octet-stream", direct_passthrough=True)
        response.content_length = found.size
        response.headers[DIGEST_HEADER] = digest
        if exchange.is_head:
            found.close()
        else:
            upload = self._uploads.open(name, self._uploads.begin(name))
            response.response = _Passage(found, upload, digest)
        return response

    def _is_fresh(self, name: str, tag: str) -> bool:
        try:
            return time.time() - (self._layout.tags(name) / tag).stat().st_mtime < self._fresh
        except FileNotFoundError:
            return False


class _Passage:
    """A blob that passes by and is kept. The server calls `close` whether or not it was read to its end."""

    def __init__(self, found: FetchedBlob, upload: Upload, digest: Digest) -> None:
        self._found = found
        self._upload = upload
        self._blocks = self._pass(digest)

    def __iter__(self) -> Iterator[bytes]:
        return self._blocks

    def close(self) -> None:
        self._blocks.close()
        self._found.close()

    def _pass(self, digest: Digest) -> Generator[bytes, None, None]:
        with self._upload as upload:
            try:
                held = b""
                over = Refusal(ErrorCode.SIZE_INVALID, "the blob is larger than the other registry said")
                for block in self._found:
                    upload.append((block,), room=self._found.size, over=over)
                    if held:
                        yield held
                    held = block
                upload.complete(digest)
                yield held
            finally:
                upload.cancel()


def _unavailable(code: ErrorCode, error: UpstreamError) -> Refusal:
    if error.too_many:
        return Refusal(ErrorCode.TOOMANYREQUESTS, f"the other registry wants fewer requests: {error}")
    return Refusal(code, f"the other registry does not help: {error}", status=502)
