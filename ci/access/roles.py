"""What somebody may do with a repository, in the forge's words. Pure; called by whoever shows or changes one.

Who may not read a repository is told that it does not exist: that it does is already something about it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ci.store.repositories import Repository
    from ci.store.users import User


class Role(StrEnum):
    """READ: look at builds, logs, artifacts. WRITE: also start, restart, cancel, approve. ADMIN: also settings."""

    NONE = "none"
    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    def covers(self, wanted: Role) -> bool:
        """Whether who has this one may do what needs `wanted`."""
        return _ORDER.index(self) >= _ORDER.index(wanted)

    def within(self, limit: Role) -> Role:
        """The lesser of the two: a token gives no more than its own role, whoever's it is."""
        return min(self, limit, key=_ORDER.index)


_ORDER = (Role.NONE, Role.READ, Role.WRITE, Role.ADMIN)


def role(repository: Repository, user: User | None, given: Role) -> Role:
    """Of somebody, or of a stranger, for a repository; `given` is what the forge says of the two."""
    if user is not None and user.active:
        found = Role.ADMIN if user.admin else given
        if found is not Role.NONE:
            return found
    return Role.NONE if repository.private else Role.READ
