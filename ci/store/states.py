"""How builds, Stages and steps stand; the words are Woodpecker's and drone's, so that their badges and clients fit."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class State(StrEnum):
    """Where something stands. BLOCKED waits for somebody's approval, PENDING for a runner."""

    BLOCKED = "blocked"
    PENDING = "pending"
    RUNNING = "running"
    SUCCESS = "success"
    FAILURE = "failure"  # the user's: a command failed
    ERROR = "error"  # the configuration's, or ours
    KILLED = "killed"  # somebody cancelled it
    SKIPPED = "skipped"
    DECLINED = "declined"  # nobody approved it

    @property
    def over(self) -> bool:
        """Whether nothing will change any more."""
        return self not in (State.BLOCKED, State.PENDING, State.RUNNING)


# The worst first: what a build is called of which some Stages ended so.
_BY_WEIGHT = (State.ERROR, State.KILLED, State.FAILURE, State.SUCCESS, State.SKIPPED)


def together(states: Iterable[State]) -> State:
    """The state of what consists of parts in these states; SKIPPED where there are none."""
    found = set(states)
    if State.BLOCKED in found:
        return State.BLOCKED
    if any(not state.over for state in found):
        return State.PENDING if found <= {State.PENDING, State.SKIPPED} else State.RUNNING
    return next((state for state in _BY_WEIGHT if state in found), State.DECLINED if found else State.SKIPPED)
