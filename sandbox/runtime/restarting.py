"""Restart policies: whether a container that has ended begins again, and when. Pure.

Docker's: `always` and `unless-stopped` after every end, `on-failure[:times]` after one with another code than 0; never
after a `stop` or `kill`. The pauses double from a tenth of a second to a minute, and begin anew once it has run for ten
seconds. After the machine's start `sandbox system start` asks `at_boot`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.runtime.state import Status

if TYPE_CHECKING:
    from sandbox.runtime.config import ContainerConfig
    from sandbox.runtime.state import State

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 60.0  # seconds
_SETTLED = 10.0  # seconds after which a run counts as a success


def again(policy: str, code: int, count: int) -> bool:
    """Whether it begins again after it has ended by itself with `code`, and `count` restarts before."""
    name, _, times = policy.partition(":")
    if name == "on-failure":
        return code != 0 and (not times or int(times) == 0 or count < int(times))
    return name in ("always", "unless-stopped")


def pause(before: float, ran: float) -> float:
    """Seconds to wait; `before` was the last pause, `ran` is how long it ran since."""
    return _FIRST_PAUSE if before == 0 or ran >= _SETTLED else min(before * 2, _LONGEST_PAUSE)


def at_boot(config: ContainerConfig, state: State) -> bool:
    """Whether a container that does not run is to run after the machine has started."""
    name = config.spec.restart.partition(":")[0]
    if state.status is not Status.EXITED:
        return False
    if name == "on-failure":
        return state.lost
    return name == "always" or (name == "unless-stopped" and not state.stopped)
