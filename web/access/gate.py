"""What who asks may do. Every endpoint that shows or changes something of a repository asks here first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.access import roles
from ci.access.roles import Role
from ci.errors import CiError
from ci.store import permissions, repositories
from web.access.identity import identity
from web.refusals import ForbiddenError, NotFoundError, UnauthorizedError
from web.services import current

if TYPE_CHECKING:
    from ci.store.repositories import Repository
    from ci.store.users import User


def role(repository: Repository) -> Role:
    """Of who asks, for a repository."""
    who = identity()
    if who.user is None:
        return roles.role(repository, None, Role.NONE)
    with current().database.read() as connection:
        given = permissions.of(connection, who.user.id, repository.id)
    return roles.role(repository, who.user, given).within(who.limit)


def repository(name: str, wanted: Role = Role.READ) -> Repository:
    """The repository of this name. Raises NotFoundError where there is none, or none that who asks may know of, and
    UnauthorizedError or ForbiddenError where he may see it only.
    """
    with current().database.read() as connection:
        try:
            found = repositories.find(connection, name)
        except CiError as error:
            if error.reference == "ambiguous":
                raise
            raise _unknown(name) from None
    has = role(found)
    if has is Role.NONE:
        raise _unknown(name)
    if not has.covers(wanted):
        if identity().user is None:
            raise UnauthorizedError(f"this needs the role {wanted} for {name}", hint="log in")
        raise ForbiddenError(f"you have the role {has} for {name}, and this needs {wanted}")
    return found


def member() -> User:
    """Who has logged in. Raises UnauthorizedError for a stranger."""
    user = identity().user
    if user is None:
        raise UnauthorizedError("this is for who has logged in", hint="log in")
    return user


def administrator() -> User:
    """Who may do everything on this server."""
    user = member()
    if not user.admin or identity().limit is not Role.ADMIN:
        raise ForbiddenError("this is for administrators of the server")
    return user


def _unknown(name: str) -> NotFoundError:
    return NotFoundError(f"no repository {name}", hint="" if identity().user else "log in if it is private")
