"""Who makes a request: by a token in its header, or by the cookie of a session.

A request that changes something and is known by its cookie must come from our own pages: browsers send cookies along
with what other sites make them ask. It must carry the session's CSRF token, and must not say that it comes from
elsewhere. A token is sent by nobody but its owner, and needs neither. Sources: OWASP, "Cross-Site Request Forgery
Prevention"; Fetch Metadata Request Headers.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import g, request

from ci.access.roles import Role
from ci.store import sessions, tokens
from web.refusals import ForbiddenError, UnauthorizedError
from web.services import current

if TYPE_CHECKING:
    from flask import Request
    from werkzeug.wrappers import Response

    from ci.access.credentials import Credential
    from ci.store.users import User
    from web.services import Services

CSRF_FIELD, CSRF_HEADER = "csrf_token", "X-CSRF-Token"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Somebody, or a stranger (`user` None). `limit` is what a token allows at most. `session` is the cookie's text."""

    user: User | None = None
    limit: Role = Role.ADMIN
    session: str = ""

    @property
    def csrf_token(self) -> str:
        """What forms of this session carry; empty for who has none."""
        return _csrf_token(self.session) if self.session else ""


def identity() -> Identity:
    """Of this request; found out once. Raises UnauthorizedError for a token that is none, ForbiddenError for a request
    that another site has made a browser send.
    """
    if "identity" not in g:
        g.identity = _identify(current(), request)
    found: Identity = g.identity
    return found


def require_own_page() -> None:
    """The request comes from a page of ours: for what strangers may send, who have no session (logging in)."""
    if not _from_here(request):
        raise ForbiddenError("the request comes from another site", hint="load the page again")


def log_in(response: Response, session: Credential) -> None:
    """Give the browser the cookie of a session that has begun."""
    secure = current().settings.secure
    response.set_cookie(
        cookie_name(secure),
        session.text,
        max_age=int(sessions.LONGEST),
        secure=secure,
        httponly=True,
        samesite="Lax",
    )


def log_out(response: Response) -> None:
    """Take it away again."""
    secure = current().settings.secure
    response.delete_cookie(cookie_name(secure), secure=secure, httponly=True, samesite="Lax")


def cookie_name(secure: bool) -> str:
    """A name that browsers give nobody but this host the right to set, where it is reached by https."""
    return "__Host-hako" if secure else "hako"


def _identify(services: Services, asked: Request) -> Identity:
    authorization = asked.headers.get("Authorization", "")
    if authorization:
        return _by_token(services, authorization)
    text = asked.cookies.get(cookie_name(services.settings.secure), "")
    if not text:
        return Identity()
    now = services.clock()
    with services.database.read() as connection:
        found = sessions.user(connection, text, now)
    if found is None:
        return Identity()
    user, stale = found
    if stale:
        with services.database.write() as connection:
            sessions.note(connection, text, now)
    if asked.method not in _SAFE:
        _require_csrf_token(asked, text)
    return Identity(user=user, session=text)


def _by_token(services: Services, authorization: str) -> Identity:
    scheme, _, text = authorization.partition(" ")
    now = services.clock()
    found = None
    if scheme.lower() == "bearer" and text.strip():
        with services.database.read() as connection:
            found = tokens.user(connection, text.strip(), now)
    if found is None:
        raise UnauthorizedError("the token is not in force", hint="make another one on your account's page")
    user, token, stale = found
    if stale:
        with services.database.write() as connection:
            tokens.note(connection, token.id, now)
    return Identity(user=user, limit=token.role)


def _require_csrf_token(asked: Request, session: str) -> None:
    given = asked.headers.get(CSRF_HEADER) or asked.form.get(CSRF_FIELD, "")
    fits = hmac.compare_digest(given.encode("utf-8", "replace"), _csrf_token(session).encode())
    if not fits or not _from_here(asked, required=False):
        raise ForbiddenError("the request does not come from a page of this server", hint="load the page again")


def _csrf_token(session: str) -> str:
    """Follows from the session, which only its owner and this server know."""
    return hashlib.sha256(b"csrf " + session.encode("utf-8", "replace")).hexdigest()


def _from_here(asked: Request, *, required: bool = True) -> bool:
    """By what browsers say of a request's origin; where they say nothing, `required` decides."""
    site = asked.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = asked.headers.get("Origin")
    if origin is not None:
        return urlsplit(origin).netloc == asked.host
    return not required
