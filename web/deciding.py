"""What people decide of a build, in the same way by pages and the API: to cancel it, to let it run, or not, to have it
run again."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from ci.store import builds
from web.refusals import ConflictError

if TYPE_CHECKING:
    from ci.store.repositories import Repository
    from ci.store.users import User
    from web.services import Services


class Decision(StrEnum):
    """CANCEL ends what is not over, RESTART begins what is over again, under its number. APPROVE and DECLINE are for
    what is blocked.
    """

    CANCEL = "cancel"
    APPROVE = "approve"
    DECLINE = "decline"
    RESTART = "restart"


def decide(services: Services, repository: Repository, number: int, decision: Decision, who: User) -> None:
    """Have it done. Raises CiError for a build that is not there, ConflictError for one that it is too late for."""
    with services.database.read() as connection:
        build = builds.find(connection, repository.id, number)
    if decision is Decision.CANCEL:
        if build.state.over:
            raise ConflictError(f"build {number} is over: {build.state}")
        services.dispatcher.cancel(build.id, who.login)
        return
    if decision is Decision.RESTART:
        services.repeating.restart(build.id)
        return
    if decision is Decision.APPROVE:
        done = services.dispatcher.approve(build.id, who.login)
    else:
        with services.database.write() as connection:
            done = builds.decline(connection, build.id, who.login, services.clock())
    if not done:
        raise ConflictError(f"build {number} does not wait for an approval: {build.state}")
