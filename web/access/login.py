"""Logging in and out: with a password, or at a forge (`ci.access.oauth`).

Between the two steps at a forge the attempt is remembered in Redis under its state, which the browser has in a cookie
as well: nobody can make another's browser finish an attempt that he has begun himself.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from flask import Blueprint, Response, make_response, redirect, render_template, request

from ci.access import passwords
from ci.access.oauth import Login
from ci.errors import CiError
from ci.store import permissions, sessions, users
from web.access import identity, limits
from web.refusals import ForbiddenError, NotFoundError
from web.services import current

if TYPE_CHECKING:
    import sqlalchemy as sql
    from werkzeug.wrappers import Response as AnyResponse

    from ci.access.oauth import Application
    from ci.store.users import User
    from web.services import Services

blueprint = Blueprint("access", __name__)
_ATTEMPT = 600  # seconds that somebody has at the forge
_COOKIE = "hako-login"


@blueprint.get("/login")
def page() -> str:
    """The ways to log in."""
    return render_template("login.html", logins=current().settings.logins, next=_target(request.args.get("next", "")))


@blueprint.post("/login")
def by_password() -> AnyResponse:
    """To a local account."""
    identity.require_own_page()
    services = current()
    name, password = request.form.get("login", ""), request.form.get("password", "")
    limits.count(limits.LOGINS_OF_ADDRESS, request.remote_addr or "")
    limits.count(limits.LOGINS_OF_ACCOUNT, name[:100])
    with services.database.read() as connection:
        user = _local(connection, name)
    # The password is always looked at: how long this takes does not tell which accounts there are.
    if not passwords.check(password, user.password if user else "") or user is None:
        response = make_response(
            render_template(
                "login.html",
                logins=services.settings.logins,
                next=_target(request.form.get("next", "")),
                wrong="The name or the password is not right.",
            )
        )
        response.status_code = 403
        return response
    return _begin(services, user, request.form.get("next", ""))


@blueprint.get("/login/<kind>")
def at_forge(kind: str) -> AnyResponse:
    """Send the browser to a forge."""
    services = current()
    limits.count(limits.LOGINS_OF_ADDRESS, request.remote_addr or "")
    attempt = Login(_application(services, kind)).begin(_back(services, kind))
    remembered = {"kind": kind, "verifier": attempt.verifier, "next": _target(request.args.get("next", ""))}
    services.redis.set(_key(attempt.state), json.dumps(remembered), ex=_ATTEMPT)
    response = redirect(attempt.url)
    secure = services.settings.secure
    response.set_cookie(
        _COOKIE, attempt.state, max_age=_ATTEMPT, path="/login", secure=secure, httponly=True, samesite="Lax"
    )
    return response


@blueprint.get("/login/<kind>/done")
def back_from_forge(kind: str) -> AnyResponse:
    """The browser comes back with a code."""
    services = current()
    state, kept = request.args.get("state", ""), request.cookies.get(_COOKIE, "")
    found = services.redis.getdel(_key(state)) if state else None
    if not isinstance(found, bytes) or not hmac.compare_digest(state.encode(), kept.encode()):
        raise ForbiddenError("this attempt to log in is over, or another browser's", hint="begin again at /login")
    attempt = json.loads(found)
    if attempt["kind"] != kind:
        raise ForbiddenError("this attempt to log in is for another forge", hint="begin again at /login")
    if not request.args.get("code"):
        raise ForbiddenError(
            f"the forge has not logged you in: {request.args.get('error_description', 'it gives no code')[:200]}"
        )
    login = Login(_application(services, kind))
    token = login.token(request.args["code"], _back(services, kind), attempt["verifier"])
    return _begin(services, _arrived(services, login, token), attempt["next"])


@blueprint.post("/logout")
def log_out() -> AnyResponse:
    """End this browser's session."""
    who = identity.identity()
    response = redirect("/")
    if who.session:
        with current().database.write() as connection:
            sessions.end(connection, who.session)
    identity.log_out(response)
    return response


def _arrived(services: Services, login: Login, token: str) -> User:
    """Who has logged in at a forge, with the roles that he has there."""
    told = login.user(token)
    roles = login.roles(token)
    now = services.clock()
    context = f"token of {told.forge_id} at {told.forge_url}"
    kept = services.keyring.encrypt(token, context)
    with services.database.write() as connection:
        user = users.arrived(connection, replace(told, token=kept), now)
        if not user.active:
            raise ForbiddenError(f"the account {user.login} is locked", hint="ask an administrator of this server")
        permissions.replace(connection, user, roles, now)
    return user


def _begin(services: Services, user: User, target: str) -> Response:
    with services.database.write() as connection:
        session = sessions.begin(connection, user.id, services.clock())
    response = make_response(redirect(_target(target)))
    identity.log_in(response, session)
    response.delete_cookie(_COOKIE, path="/login")
    return response


def _local(connection: sql.Connection, name: str) -> User | None:
    try:
        user = users.find(connection, name)
    except CiError:
        return None
    return user if user.active else None


def _application(services: Services, kind: str) -> Application:
    for one in services.settings.logins:
        if one.forge == kind:
            return one
    raise NotFoundError(f"nobody logs in by {kind} here")


def _back(services: Services, kind: str) -> str:
    return f"{services.settings.server_url}/login/{kind}/done"


def _key(state: str) -> str:
    return f"hako:login:{state[:200]}"


def _target(text: str) -> str:
    """A path of this server; anything else could send who has logged in to somebody's copy of it."""
    path_only = text.startswith("/") and not text.startswith(("//", "/\\")) and not text.startswith("/login")
    return text if path_only and text.isprintable() and "\\" not in text else "/"
