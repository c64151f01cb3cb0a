"""The API's operations on a repository's secrets."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ci.access.roles import Role
from ci.pipeline.event import EventKind
from ci.secrets.choosing import DEFAULT_EVENTS, Secret
from ci.store import secrets
from ci.store.secrets import Scope
from web.access import gate
from web.api import shapes
from web.api.operation import Operations
from web.services import current

operations = Operations("secrets")
_Patterns = Annotated[list[Annotated[str, msgspec.Meta(min_length=1, max_length=400)]], msgspec.Meta(max_length=100)]


class SecretValue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A secret: its value, and what it is limited to. Without `events` it is for all but pull requests; empty lists of
    branches and images: for any. One with images is for plugins only.
    """

    value: str
    events: list[EventKind] | None = None
    branches: _Patterns = []
    images: _Patterns = []


@operations.add("GET", "/repos/<path:name>/secrets", "A repository's secrets", answer=list[shapes.Secret], public=False)
def list_secrets(name: str) -> list[shapes.Secret]:
    """Their names and limits."""
    repository = gate.repository(name, Role.ADMIN)
    with current().database.read() as connection:
        return [shapes.secret(one) for one in secrets.listed(connection, Scope(repository=repository))]


@operations.add(
    "PUT", "/repos/<path:name>/secrets/<secret>", "Add a secret, or change it", body=SecretValue, public=False
)
def put_secret(name: str, secret: str, body: SecretValue) -> None:
    """The former value is gone."""
    repository = gate.repository(name, Role.ADMIN)
    services = current()
    made = Secret(
        name=secret,
        value=body.value,
        repository=repository.name,
        events=frozenset(body.events) if body.events is not None else DEFAULT_EVENTS,
        branches=tuple(body.branches),
        images=tuple(body.images),
    )
    with services.database.write() as connection:
        secrets.put(connection, services.keyring, Scope(repository=repository), made, services.clock())


@operations.add("DELETE", "/repos/<path:name>/secrets/<secret>", "Remove a secret", public=False)
def remove_secret(name: str, secret: str) -> None:
    """For good."""
    repository = gate.repository(name, Role.ADMIN)
    with current().database.write() as connection:
        secrets.remove(connection, Scope(repository=repository), secret)
