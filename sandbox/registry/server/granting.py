"""The endpoint that gives out tokens: GET with a password in the header, as docker asks, or POST with a form, as
containerd does. Source: docker's token specification, "Token Authentication" and "OAuth2 Token Authentication".
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from werkzeug import Response
from werkzeug.exceptions import HTTPException

from sandbox.registry.errors import ErrorCode
from sandbox.registry.server.access import REALM, unauthorized
from sandbox.registry.server.refusal import Refusal

if TYPE_CHECKING:
    from werkzeug import Request

    from sandbox.registry.server.tokens import TokenGate

_FORM = 64 << 10  # bytes


def token(request: Request, gate: TokenGate) -> Response:
    """A token for the scopes that are asked for. Raises Refusal."""
    if request.method == "GET":
        account = gate.account(request.headers.get("Authorization", ""))
        return _answer(gate.issue(account, request.args.getlist("scope")))
    if request.method != "POST":
        raise Refusal(ErrorCode.UNSUPPORTED, "tokens are asked for by GET or POST", headers={"Allow": "GET, POST"})
    request.max_content_length = _FORM
    try:
        form = request.form
    except HTTPException as error:
        raise Refusal(ErrorCode.UNSUPPORTED, "the form cannot be read", status=error.code) from error
    if form.get("grant_type") != "password":  # a refresh token outlives passwords; clients fall back to GET
        raise Refusal(ErrorCode.UNSUPPORTED, "grant_type is not password")
    known = gate.check(form.get("username", ""), form.get("password", ""))
    if known is None:
        raise unauthorized(f'Basic realm="{REALM}"', "wrong name or password")
    return _answer(gate.issue(known, form.getlist("scope")))


def _answer(issued: object) -> Response:
    return Response(json.dumps(issued), content_type="application/json", headers={"Cache-Control": "no-store"})
