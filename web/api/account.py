"""The API's operations on who asks: his account and its tokens."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ci.access.roles import Role
from ci.store import tokens
from web.access import gate
from web.access.identity import identity
from web.api import shapes
from web.api.operation import Operations
from web.refusals import ForbiddenError
from web.services import current

operations = Operations("account")


class NewToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`role` is what it gives at most. `days`: how long it is in force; 0: until it is removed."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    role: Role = Role.WRITE
    days: Annotated[int, msgspec.Meta(ge=0, le=3650)] = 0


class MadeToken(shapes.Token):
    """A token with its text, which is shown this once."""

    text: str


@operations.add("GET", "/user", "Who you are", answer=shapes.User, public=False)
def show_user() -> shapes.User:
    """The account of the token or the session."""
    return shapes.user(gate.member())


@operations.add("GET", "/user/tokens", "Your tokens", answer=list[shapes.Token], public=False)
def list_tokens() -> list[shapes.Token]:
    """Without their texts."""
    user = gate.member()
    with current().database.read() as connection:
        return [shapes.token(one) for one in tokens.of_user(connection, user.id)]


@operations.add("POST", "/user/tokens", "Make a token", body=NewToken, answer=MadeToken, status=201, public=False)
def make_token(body: NewToken) -> MadeToken:
    """One that gives no more than the token that asks for it."""
    user, services = gate.member(), current()
    if not identity().limit.covers(body.role):
        raise ForbiddenError(f"a token of the role {identity().limit} makes none of the role {body.role}")
    now = services.clock()
    expires = now + body.days * 86400 if body.days else 0.0
    with services.database.write() as connection:
        token, made = tokens.make(connection, user.id, body.name, body.role, now, expires=expires)
    shown = shapes.token(token)
    return MadeToken(**{name: getattr(shown, name) for name in shown.__struct_fields__}, text=made.text)


@operations.add("DELETE", "/user/tokens/<int:identifier>", "Remove a token", public=False)
def remove_token(identifier: int) -> None:
    """It is not in force any more."""
    user = gate.member()
    with current().database.write() as connection:
        tokens.remove(connection, user.id, min(identifier, 2**31 - 1))
