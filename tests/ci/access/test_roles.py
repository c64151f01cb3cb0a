"""What somebody may do with a repository."""

from __future__ import annotations

import dataclasses

import pytest

from ci.access.roles import Role, role
from ci.store.repositories import Repository
from ci.store.users import User

PUBLIC = Repository(forge="github", forge_url="https://github.com", forge_id="7", name="octo/hello")
PRIVATE = dataclasses.replace(PUBLIC, private=True)
SOMEBODY = User(login="mona", forge_url="https://github.com", forge_id="1")


@pytest.mark.parametrize(
    ("repository", "user", "given", "expected"),
    [
        (PUBLIC, None, Role.NONE, Role.READ),
        (PRIVATE, None, Role.NONE, Role.NONE),
        (PRIVATE, SOMEBODY, Role.NONE, Role.NONE),
        (PRIVATE, SOMEBODY, Role.READ, Role.READ),
        (PUBLIC, SOMEBODY, Role.WRITE, Role.WRITE),
        (PUBLIC, SOMEBODY, Role.NONE, Role.READ),
        (PRIVATE, dataclasses.replace(SOMEBODY, admin=True), Role.NONE, Role.ADMIN),
        (PRIVATE, dataclasses.replace(SOMEBODY, active=False, admin=True), Role.ADMIN, Role.NONE),
    ],
)
def test_the_role(repository: Repository, user: User | None, given: Role, expected: Role) -> None:
    """What the forge says; the server's administrators may do all; everybody reads what is public; who is locked out
    is a stranger.
    """
    assert role(repository, user, given) is expected


def test_roles_cover_lesser_ones() -> None:
    """In their order; a limit only takes away."""
    assert Role.ADMIN.covers(Role.WRITE)
    assert Role.READ.covers(Role.READ)
    assert not Role.READ.covers(Role.WRITE)
    assert not Role.NONE.covers(Role.READ)
    assert Role.ADMIN.within(Role.READ) is Role.READ
    assert Role.READ.within(Role.ADMIN) is Role.READ
