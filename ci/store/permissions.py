"""Which role an account has for a repository, as its forge says; for local accounts, as an administrator does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sql

from ci.access.roles import Role
from ci.store.repositories import Repository
from ci.store.schema import permissions, repositories, users

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci.store.users import User


def put(connection: sql.Connection, user_id: int, repository_id: int, role: Role) -> None:
    """Give an account a role for one repository; NONE takes it away."""
    which = (permissions.c.user_id == user_id, permissions.c.repository_id == repository_id)
    connection.execute(sql.delete(permissions).where(*which))
    if role is not Role.NONE:
        connection.execute(sql.insert(permissions).values(user_id=user_id, repository_id=repository_id, role=role))


def replace(connection: sql.Connection, user: User, roles: Mapping[str, Role], now: float) -> None:
    """All that the account's forge says, by the forge's ids of repositories: what is missing is taken away."""
    rows = connection.execute(
        sql.select(repositories.c.id, repositories.c.forge_id).where(repositories.c.forge_url == user.forge_url)
    )
    known = {row.forge_id: row.id for row in rows}
    connection.execute(sql.delete(permissions).where(permissions.c.user_id == user.id))
    found = [
        {"user_id": user.id, "repository_id": known[forge_id], "role": role}
        for forge_id, role in roles.items()
        if forge_id in known and role is not Role.NONE
    ]
    if found:
        connection.execute(sql.insert(permissions), found)
    connection.execute(sql.update(users).where(users.c.id == user.id).values(synchronized=now))


def of(connection: sql.Connection, user_id: int, repository_id: int) -> Role:
    """The role that was given; what it comes to is for `roles.role` to say."""
    found = connection.execute(
        sql.select(permissions.c.role).where(
            permissions.c.user_id == user_id, permissions.c.repository_id == repository_id
        )
    ).scalar_one_or_none()
    return Role(found or Role.NONE)


def readable(connection: sql.Connection, user: User | None) -> tuple[Repository, ...]:
    """The repositories that somebody, or a stranger, may see, by name."""
    query = sql.select(repositories).order_by(repositories.c.name, repositories.c.forge_url)
    if user is None or not user.active:
        query = query.where(repositories.c.private.is_(sql.false()))
    elif not user.admin:
        mine = sql.select(permissions.c.repository_id).where(permissions.c.user_id == user.id)
        query = query.where(repositories.c.private.is_(sql.false()) | repositories.c.id.in_(mine))
    return tuple(Repository(**row._mapping) for row in connection.execute(query))
