"""Secrets as they are kept: encrypted, each under whose it is and its name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import sqlalchemy as sql

from ci.errors import CiError
from ci.pipeline.event import EventKind
from ci.pipeline.glob import Glob, GlobError
from ci.secrets.choosing import Secret
from ci.store.schema import secrets

if TYPE_CHECKING:
    from ci.secrets.keyring import Keyring
    from ci.store.repositories import Repository

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")
_LONGEST = 1 << 20  # characters of a value


class Scope:
    """Whose secrets: the whole server's, an owner's at a forge, or a repository's."""

    def __init__(self, *, forge_url: str = "", owner: str = "", repository: Repository | None = None) -> None:
        self.forge_url = repository.forge_url if repository is not None else forge_url
        self.owner = owner
        self.repository_id = repository.id if repository is not None else None
        self._name = repository.name if repository is not None else owner

    @property
    def where(self) -> tuple[sql.ColumnElement[bool], ...]:
        """The rows of it."""
        if self.repository_id is not None:
            return (secrets.c.repository_id == self.repository_id,)
        return (
            secrets.c.repository_id.is_(None),
            secrets.c.forge_url == self.forge_url,
            secrets.c.owner == self.owner,
        )

    def context(self, name: str) -> str:
        """What an encrypted value is bound to."""
        whose = f"repository {self.repository_id}" if self.repository_id is not None else f"owner {self.owner!r}"
        return f"{whose} at {self.forge_url!r}, secret {name!r}"

    def __str__(self) -> str:
        return self._name or "the server"


def put(connection: sql.Connection, keyring: Keyring, scope: Scope, secret: Secret, now: float) -> None:
    """Add a secret, or give it another value and other limits. Raises CiError for a bad name, pattern or value."""
    _check(secret)
    fields: dict[str, Any] = {
        "value": keyring.encrypt(secret.value, scope.context(secret.name)),
        "events": sorted(secret.events),
        "branches": list(secret.branches),
        "images": list(secret.images),
        "changed": now,
    }
    changed = connection.execute(
        sql.update(secrets).where(*scope.where, secrets.c.name == secret.name).values(fields)
    ).rowcount
    if not changed:
        connection.execute(
            sql.insert(secrets).values(
                forge_url=scope.forge_url,
                owner=scope.owner,
                repository_id=scope.repository_id,
                name=secret.name,
                **fields,
            )
        )


def remove(connection: sql.Connection, scope: Scope, name: str) -> None:
    """Raises CiError where there is none."""
    if not connection.execute(sql.delete(secrets).where(*scope.where, secrets.c.name == name)).rowcount:
        raise CiError(f"{scope} has no secret {name}", reference="no-such-secret")


def listed(connection: sql.Connection, scope: Scope) -> tuple[Secret, ...]:
    """Names and limits, without the values: nobody reads these back."""
    rows = connection.execute(sql.select(secrets).where(*scope.where).order_by(secrets.c.name))
    return tuple(_secret(row, "") for row in rows)


def visible(connection: sql.Connection, keyring: Keyring, repository: Repository) -> tuple[Secret, ...]:
    """All that a repository's Stages may have by `choosing`, with their values: its own, its owner's, the server's."""
    owner = repository.name.rpartition("/")[0]
    scopes = (Scope(repository=repository), Scope(forge_url=repository.forge_url, owner=owner), Scope())
    return tuple(
        _secret(row, keyring.decrypt(row.value, scope.context(row.name)), repository.name)
        for scope in scopes
        for row in connection.execute(sql.select(secrets).where(*scope.where).order_by(secrets.c.name))
    )


def renew(connection: sql.Connection, keyring: Keyring) -> int:
    """Encrypt all by the newest key; how many."""
    rows = connection.execute(sql.select(secrets.c.id, secrets.c.value)).all()
    for row in rows:
        connection.execute(sql.update(secrets).where(secrets.c.id == row.id).values(value=keyring.renew(row.value)))
    return len(rows)


def _check(secret: Secret) -> None:
    if not _NAME.fullmatch(secret.name):
        raise CiError(
            f"{secret.name!r} is no name of a secret",
            hint="letters, digits, _ . and -, no digit first",
            reference="bad-secret",
        )
    if not secret.value or len(secret.value) > _LONGEST:
        raise CiError(f"the secret {secret.name} is empty or too long", reference="bad-secret")
    for pattern in secret.branches:
        try:
            Glob(pattern)
        except GlobError as error:
            raise CiError(f"the branch pattern {pattern!r}: {error}", reference="bad-secret") from None


def _secret(row: sql.Row[Any], value: str, repository: str = "") -> Secret:
    return Secret(
        name=row.name,
        value=value,
        owner=row.owner,
        repository=repository if row.repository_id is not None else "",
        events=frozenset(EventKind(kind) for kind in row.events),
        branches=tuple(row.branches),
        images=tuple(row.images),
    )
