"""Who asks the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci.access.roles import Role
from ci.store import permissions, tokens, users
from ci.store.users import User

if TYPE_CHECKING:
    from collections.abc import Callable

    from ci.store.repositories import Repository
    from web.services import Services


@pytest.fixture
def bearer(services: Services) -> Callable[..., dict[str, str]]:
    """Makes somebody with a token: the header of his requests."""

    def make(
        login: str, *, admin: bool = False, repository: Repository | None = None, role: Role = Role.NONE
    ) -> dict[str, str]:
        with services.database.write() as connection:
            user = users.add(connection, User(login=login, admin=admin))
            if repository is not None:
                permissions.put(connection, user.id, repository.id, role)
            _, made = tokens.make(connection, user.id, "test", Role.ADMIN, services.clock())
        return {"Authorization": f"Bearer {made.text}"}

    return make
