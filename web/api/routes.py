"""The API as a blueprint: all its operations, its limits, its document."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from web.access import limits
from web.access.identity import identity
from web.api import account, builds, repositories, secrets
from web.api.document import PREFIX, openapi
from web.services import current

SUBJECTS = (repositories.operations, builds.operations, secrets.operations, account.operations)
blueprint = Blueprint("api", __name__, url_prefix=PREFIX)
for _subject in SUBJECTS:
    _subject.register(blueprint)


@blueprint.get("/openapi.json")
def document() -> Response:
    """What there is, for programs."""
    return jsonify(openapi(SUBJECTS, current().settings.server_url))


@blueprint.before_request
def count() -> None:
    """A token's or a session's requests are counted by whose it is, strangers' by their address."""
    user = identity().user
    if user is not None:
        limits.count(limits.API, str(user.id))
    else:
        limits.count(limits.API_OF_STRANGERS, request.remote_addr or "")
