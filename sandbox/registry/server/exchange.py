"""One request as the endpoints see it, and the parts of the registry that they work with."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.registry.errors import ErrorCode
from sandbox.registry.server.access import Action
from sandbox.registry.server.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from werkzeug import Request

    from sandbox.registry.server.access import Caller
    from sandbox.registry.server.blobs import Blobs
    from sandbox.registry.server.layout import Layout
    from sandbox.registry.server.limits import Limits
    from sandbox.registry.server.manifests import Manifests
    from sandbox.registry.server.mirror import Mirror
    from sandbox.registry.server.quotas import Quotas
    from sandbox.registry.server.routes import Route
    from sandbox.registry.server.tokens import TokenGate
    from sandbox.registry.server.uploads import Uploads

DIGEST_HEADER = "Docker-Content-Digest"
_BLOCK = 256 << 10  # bytes of a body at once: the fastest of those measured with gunicorn, and little memory
_DISCARDED = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a registry consists of."""

    layout: Layout
    limits: Limits
    blobs: Blobs
    manifests: Manifests
    uploads: Uploads
    quotas: Quotas
    tokens: TokenGate | None  # where this registry issues them
    mirror: Mirror | None
    takes_changes: bool  # pushes and deletions
    mounts_anything: bool  # a blob may be mounted without saying of which repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request that has passed the gate."""

    request: Request
    route: Route
    caller: Caller
    parts: Parts
    prefix: str  # before the paths of `Location`, where the registry is mounted somewhere

    @property
    def is_head(self) -> bool:
        """Whether only the headers are wanted."""
        return self.request.method == "HEAD"

    def location(self, *words: str) -> str:
        """An address of this registry. Relative: what stands in front of the registry may have another name."""
        return "/".join((f"{self.prefix}/v2", *words))

    def may_pull(self, repository: str) -> bool:
        """Whether the caller may read another repository, too."""
        return Action.PULL in self.caller.rights(repository)

    def body(self) -> Iterator[bytes]:
        """The content of the request as it comes, in blocks. Raises Refusal when it breaks off, after what came."""
        return body(self.request)


def body(request: Request) -> Iterator[bytes]:
    """The content of a request, as `Exchange.body`."""
    stream = request.environ["wsgi.input"]
    length = request.content_length
    if length is None and not request.environ.get("wsgi.input_terminated"):
        return  # no content: a server that does not end the stream (PEP 3333) would leave us waiting
    came = 0
    while length is None or came < length:
        try:
            block = stream.read(_BLOCK if length is None else min(_BLOCK, length - came))
        except Exception as error:  # the server's own, for a client that is gone or garbles its chunks
            raise BrokenOff from error
        if not block:
            break
        came += len(block)
        yield block
    if length is not None and came < length:
        raise BrokenOff


def discard(request: Request) -> None:
    """Take in what is left of the content of a request that was refused, unless it is long: a server closes the
    connection on content that nobody took, and a client that is still sending may never see the answer.
    """
    if not request.environ.get("wsgi.input_terminated"):
        return
    with contextlib.suppress(Refusal):  # it broke off, or an endpoint had taken some of it
        for _ in itertools.islice(body(request), _DISCARDED // _BLOCK):
            pass


class BrokenOff(Refusal):
    """There was less content than the request said, or the client is gone."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.BLOB_UPLOAD_INVALID, "the content of the request broke off")
