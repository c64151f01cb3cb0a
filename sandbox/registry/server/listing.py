"""The endpoints that list: tags, what refers to a manifest, repositories.

Lists come in pages where the client asks for some (`n`, `last`), or where they are long; the header `Link` leads to the
next page (RFC 8288). Source: OCI distribution-spec, "Content Discovery"; the catalog is docker's.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from werkzeug import Response

from sandbox.registry import media
from sandbox.registry.errors import ErrorCode
from sandbox.registry.server import repositories
from sandbox.registry.server.pulling import unknown_repository
from sandbox.registry.server.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.registry.server.exchange import Exchange

_JSON = "application/json"


def tags(exchange: Exchange) -> Response:
    """GET of a repository's tags: all of them, or a page."""
    parts, name = exchange.parts, exchange.route.repository
    known = parts.mirror.tags(name) if parts.mirror is not None else None
    if known is None:
        if not repositories.exists(parts.layout, name):
            raise unknown_repository(name)
        known = parts.manifests.tags(name)
    found, link = _page(exchange, sorted(known), whole=True)
    return _answer(exchange, {"name": name, "tags": found}, _JSON, link)


def catalog(exchange: Exchange) -> Response:
    """GET of the repositories that the caller may pull from, a page at a time."""
    seen = [name for name in repositories.with_manifests(exchange.parts.layout) if exchange.caller.sees(name)]
    found, link = _page(exchange, seen, whole=False)
    return _answer(exchange, {"repositories": found}, _JSON, link)


def referrers(exchange: Exchange) -> Response:
    """GET of the manifests whose subject is the digest: an index, empty where there is none, never 404."""
    name, subject = exchange.route.repository, exchange.route.digest
    wanted = exchange.request.args.get("artifactType")
    descriptions = {
        description["digest"]: description
        for description in exchange.parts.manifests.referrers(name, subject)
        if not wanted or description.get("artifactType") == wanted
    }
    found, link = _page(exchange, sorted(descriptions), whole=False)
    index = {"schemaVersion": 2, "mediaType": media.INDEX, "manifests": [descriptions[digest] for digest in found]}
    response = _answer(exchange, index, media.INDEX, link)
    if wanted:
        response.headers["OCI-Filters-Applied"] = "artifactType"
    return response


def _page(exchange: Exchange, entries: Sequence[str], *, whole: bool) -> tuple[list[str], str]:
    """The entries after `last`, as many as `n` says or fit a page, and the address of the next page if there is one.
    `whole` leaves the list as long as it is where the client does not ask for pages.
    """
    arguments, most = exchange.request.args, exchange.parts.limits.page
    if "last" in arguments:
        entries = [entry for entry in entries if entry > arguments["last"]]
    if "n" in arguments:
        count = min(_number(arguments["n"]), most)
    elif whole:
        count = len(entries)
    else:
        count = most
    page = list(entries[:count])
    if not page or len(page) == len(entries):
        return page, ""
    query = {**arguments.to_dict(), "n": str(count), "last": page[-1]}
    return page, f"{exchange.prefix}{exchange.request.path}?{urlencode(query)}"


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise Refusal(ErrorCode.UNSUPPORTED, f"n={text[:100]!r} is not a number of entries", status=400)
    return int(text[:9])


def _answer(exchange: Exchange, document: dict[str, Any], media_type: str, link: str) -> Response:
    data = json.dumps(document).encode("utf-8")
    response = Response(b"" if exchange.is_head else data, content_type=media_type)
    response.content_length = len(data)
    if link:
        response.headers["Link"] = f'<{link}>; rel="next"'
    return response
