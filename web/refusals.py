"""What a request is refused with: the domain's errors and HTTP's, as one status and one shape.

JSON for programs (`{"error": {"reference", "message", "hint"}}`), a page for people. Nothing else in `web` decides on a
status for an error.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from flask import jsonify, make_response, render_template, request
from redis.exceptions import RedisError
from sqlalchemy.exc import OperationalError
from werkzeug.exceptions import HTTPException

from ci.errors import CiError
from ci.forge.client import ForgeError
from ci.forge.signatures import UnsignedError

if TYPE_CHECKING:
    from flask import Flask, Response

log = logging.getLogger("hako.web")
_PROGRAMS = ("/api/", "/rpc/", "/hooks/", "/healthz", "/readyz", "/metrics")
_STATUSES = {
    "git": 502,
    **dict.fromkeys(("ambiguous", "not-approved", "not-over", "nothing-failed", "not-passed", "from-a-fork"), 409),
}


class Refusal(CiError):
    """An error of the web itself, with the status that it has."""

    status = 400


class UnauthorizedError(Refusal):
    """Nobody knows who asks."""

    status, reference = 401, "unauthorized"


class ForbiddenError(Refusal):
    """Who asks may not."""

    status, reference = 403, "forbidden"


class NotFoundError(Refusal):
    """There is no such thing, or nobody is to know of it."""

    status, reference = 404, "not-found"


class ConflictError(Refusal):
    """It cannot be done as things stand."""

    status, reference = 409, "conflict"


class GoneError(Refusal):
    """It is not this caller's any more."""

    status, reference = 410, "gone"


class TooManyError(Refusal):
    """More requests than are allowed; `retry_after` in seconds."""

    status, reference = 429, "too-many-requests"

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message, hint=f"try again in {retry_after} s")
        self.retry_after = retry_after


def status(error: CiError) -> int:
    """HTTP's status of an error of the domain, by what it refers to."""
    if isinstance(error, Refusal):
        return error.status
    if isinstance(error, UnsignedError):
        return 401
    if isinstance(error, ForgeError):
        return 502
    if error.reference.startswith("no-such-"):
        return 404
    if error.reference.endswith("-exists"):
        return 409
    return _STATUSES.get(error.reference, 400)


def register(app: Flask) -> None:
    """Have every error of a request answered here."""
    app.register_error_handler(CiError, _domain)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(OperationalError, _unavailable)
    app.register_error_handler(RedisError, _unavailable)
    app.register_error_handler(Exception, _unexpected)


def _domain(error: CiError) -> Response:
    response = _answer(status(error), error.reference, error.message, error.hint)
    if isinstance(error, TooManyError):
        response.headers["Retry-After"] = str(error.retry_after)
    if response.status_code == 401 and _for_programs():
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _http(error: HTTPException) -> Response:
    code = error.code or 500
    reference = (error.name or "error").lower().replace(" ", "-")
    words = {404: f"there is no {request.path}", 405: f"{request.method} is not for {request.path}"}
    response = _answer(code, reference, words.get(code) or (error.description or error.name or "").rstrip("."), "")
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            response.headers[name] = value
    if error.response is not None and error.response.headers.get("Location"):  # a redirect that routing asks for
        response.headers["Location"] = error.response.headers["Location"]
    return response


def _unavailable(error: Exception) -> Response:
    log.error("%s %s: %s", request.method, request.path, " ".join(str(error).split())[:500])
    response = _answer(503, "unavailable", "the server's database or queue does not answer", "it is tried again")
    response.headers["Retry-After"] = "5"
    return response


def _unexpected(error: Exception) -> Response:
    log.exception("%s %s", request.method, request.path, exc_info=error)
    return _answer(500, "internal-error", "something went wrong in the server", "its log has more")


def _answer(code: int, reference: str, message: str, hint: str) -> Response:
    if _for_programs():
        response = jsonify(error={"reference": reference, "message": message, "hint": hint})
    else:
        response = make_response(render_template("error.html", code=code, message=message, hint=hint))
    response.status_code = code
    return response


def _for_programs() -> bool:
    if request.path.startswith(_PROGRAMS):
        return True
    return request.accept_mimetypes.best_match(["text/html", "application/json"]) == "application/json"
