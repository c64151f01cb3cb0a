"""The registry as a WSGI application: a request passes the gate, goes to its endpoint, and comes back as an answer.

`sandbox registry serve` serves it alone, `web` mounts it: below any prefix, its paths begin with `/v2`. Everything that
goes wrong becomes the specification's JSON here, and nowhere else.
"""

from __future__ import annotations

import errno
import traceback
from typing import TYPE_CHECKING

from werkzeug import Request, Response
from werkzeug.exceptions import HTTPException

from sandbox.registry import errors
from sandbox.registry.errors import ErrorCode, Problem
from sandbox.registry.server import deleting, granting, listing, pulling, pushing, repositories, routes
from sandbox.registry.server.access import CATALOG_SCOPE, Action, OpenGate, Scope
from sandbox.registry.server.blobs import Blobs
from sandbox.registry.server.collecting import Collector
from sandbox.registry.server.exchange import BrokenOff, Exchange, Parts, discard
from sandbox.registry.server.layout import Layout
from sandbox.registry.server.limits import Limits
from sandbox.registry.server.manifests import Manifests
from sandbox.registry.server.mirror import FRESH, Mirror
from sandbox.registry.server.quotas import Quotas
from sandbox.registry.server.refusal import Refusal
from sandbox.registry.server.routes import Endpoint
from sandbox.registry.server.tokens import TokenGate
from sandbox.registry.server.uploads import Uploads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path
    from wsgiref.types import StartResponse, WSGIEnvironment

    from sandbox.image.digest import Digest
    from sandbox.registry.server.access import Caller, Gate
    from sandbox.registry.server.collecting import Collected
    from sandbox.registry.server.mirror import Upstream
    from sandbox.registry.server.routes import Route

    Handler = Callable[[Exchange], Response]

_PULL, _PUSH, _DELETE = Action.PULL, Action.PUSH, Action.DELETE
# What an endpoint's methods do, and the right that they take; without one they are anybody's who passed the gate.
_HANDLERS: Mapping[tuple[Endpoint, str], tuple[Handler, Action | None]] = {
    (Endpoint.BASE, "GET"): (lambda _: Response("{}", content_type="application/json"), None),
    (Endpoint.CATALOG, "GET"): (listing.catalog, None),
    (Endpoint.TAGS, "GET"): (listing.tags, _PULL),
    (Endpoint.REFERRERS, "GET"): (listing.referrers, _PULL),
    (Endpoint.MANIFEST, "GET"): (pulling.manifest, _PULL),
    (Endpoint.MANIFEST, "PUT"): (pushing.manifest, _PUSH),
    (Endpoint.MANIFEST, "DELETE"): (deleting.manifest, _DELETE),
    (Endpoint.BLOB, "GET"): (pulling.blob, _PULL),
    (Endpoint.BLOB, "DELETE"): (deleting.blob, _DELETE),
    (Endpoint.UPLOADS, "POST"): (pushing.begin, _PUSH),
    (Endpoint.UPLOAD, "GET"): (pushing.status, _PUSH),
    (Endpoint.UPLOAD, "PATCH"): (pushing.append, _PUSH),
    (Endpoint.UPLOAD, "PUT"): (pushing.complete, _PUSH),
    (Endpoint.UPLOAD, "DELETE"): (pushing.cancel, _PUSH),
}
CALLER = "registry.caller"  # in the environment of a request, for the server's log: the account
_CHANGES = frozenset((_PUSH, _DELETE))
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Registry:
    """The application, on the directory `root`. Threads and processes may share that.

    `public` is the address by which clients know the registry, where their header `Host` does not tell it. With
    `mounts_anything` a client may mount any blob whose digest it knows, so that is for registries that everybody may
    read. `complete` wants what a manifest refers to to be there before it.
    """

    def __init__(
        self,
        root: Path,
        *,
        gate: Gate | None = None,
        limits: Limits | None = None,
        quotas: Mapping[str, int] | None = None,
        upstream: Upstream | None = None,
        fresh: float = FRESH,
        read_only: bool = False,
        mounts_anything: bool = False,
        complete: bool = True,
        public: str = "",
    ) -> None:
        layout, limits = Layout(root), limits or Limits()
        blobs = Blobs(layout)
        manifests = Manifests(layout, limits, complete=complete and upstream is None)
        uploads = Uploads(layout, blobs, limits)
        self._gate = gate or OpenGate()
        self._public = public.rstrip("/")
        self.parts = Parts(
            layout=layout,
            limits=limits,
            blobs=blobs,
            manifests=manifests,
            uploads=uploads,
            quotas=Quotas(layout, quotas or {}),
            tokens=self._gate if isinstance(self._gate, TokenGate) else None,
            mirror=Mirror(layout, manifests, uploads, upstream, fresh) if upstream is not None else None,
            mounts_anything=mounts_anything,
            takes_changes=not read_only and upstream is None,
        )

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """See PEP 3333."""
        request = Request(environ)
        try:
            response = self._answer(request)
        except Refusal as refusal:
            if not isinstance(refusal, BrokenOff):
                discard(request)
            response = _refused(refusal.status, *refusal.problems)
            response.headers.update(refusal.headers)
        except HTTPException as error:  # werkzeug's, for what it cannot read of a request
            response = _refused(error.code or 400, Problem(ErrorCode.UNSUPPORTED, "the request is garbled"))
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _FULL:
                response = _refused(507, Problem("INSUFFICIENT_STORAGE", "the registry's disk is full"))
            else:
                environ["wsgi.errors"].write(traceback.format_exc())
                response = _refused(500, Problem("UNKNOWN", "the registry made a mistake, which is in its log"))
        response.headers["Docker-Distribution-API-Version"] = "registry/2.0"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response(environ, start_response)

    def collect(self, *, untagged: float | None = None, trial: bool = False) -> Collected:
        """Collect garbage once (`collecting.Collector`)."""
        parts = self.parts
        collector = Collector(
            parts.layout, parts.manifests, parts.uploads, parts.limits, untagged=untagged, trial=trial
        )
        return collector.run()

    def contents(self, repository: str = "") -> Iterator[tuple[str, str, Digest, str]]:
        """What can be pulled, of one repository or of all: repository, tag (empty for a manifest without), digest and
        media type, sorted.
        """
        layout, manifests = self.parts.layout, self.parts.manifests
        for name in repositories.with_manifests(layout):
            if repository in ("", name):
                tags = {tag: manifests.resolve(name, tag) for tag in manifests.tags(name)}
                untagged = sorted({digest for digest, _ in manifests.all(name)}.difference(tags.values()))
                for tag, digest in (*tags.items(), *(("", digest) for digest in untagged)):
                    stored = manifests.get(name, digest) if digest is not None else None
                    if stored is not None:
                        yield name, tag, stored.digest, stored.media_type

    def _answer(self, request: Request) -> Response:
        route = routes.parse(request.path)
        base = self._public or request.host_url.rstrip("/") + request.root_path.rstrip("/")
        if route.endpoint is Endpoint.TOKEN:
            if self.parts.tokens is None:
                raise Refusal(ErrorCode.UNSUPPORTED, "this registry gives out no tokens", status=404)
            return granting.token(request, self.parts.tokens)
        caller = self._gate.admit(request.headers.get("Authorization", ""), base)
        request.environ[CALLER] = caller.name or "-"
        method = "GET" if request.method == "HEAD" else request.method
        handler, action = _HANDLERS.get((route.endpoint, method), (None, None))
        if handler is None:
            raise Refusal(
                ErrorCode.UNSUPPORTED, f"{method} is no method of this path", headers={"Allow": _allowed(route)}
            )
        self._permit(caller, route, action, base)
        if action in _CHANGES and not self.parts.takes_changes:
            raise Refusal(ErrorCode.UNSUPPORTED, "this registry takes no changes")
        return handler(
            Exchange(
                request=request, route=route, caller=caller, parts=self.parts, prefix=request.root_path.rstrip("/")
            )
        )

    def _permit(self, caller: Caller, route: Route, action: Action | None, base: str) -> None:
        """Raises Refusal: one that asks for credentials where other ones could help."""
        if action is None:
            if not caller.proven:
                raise self._gate.refuse(base, CATALOG_SCOPE if route.endpoint is Endpoint.CATALOG else "")
            return
        if action in caller.rights(route.repository):
            return
        if caller.final:
            raise Refusal(ErrorCode.DENIED, f"{caller.name} may not {action} here", detail={"name": route.repository})
        # Clients that push want to know what is there, too.
        wanted = frozenset((_PULL, _PUSH)) if action is _PUSH else frozenset((action,))
        raise self._gate.refuse(base, str(Scope(route.repository, wanted)), shown=caller.proven)


def _allowed(route: Route) -> str:
    methods = {method for endpoint, method in _HANDLERS if endpoint is route.endpoint}
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))


def _refused(status: int, *problems: Problem) -> Response:
    return Response(errors.dump(*problems), status=status, content_type="application/json")
