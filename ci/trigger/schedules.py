"""When a schedule is due: five fields as in crontab(5), or `@hourly` and the like; all times are UTC. Pure.

The adapter of croniter.
"""

from __future__ import annotations

from croniter import CroniterError, croniter

from ci.errors import CiError

_FIELDS = 5


def following(schedule: str, now: float) -> float:
    """The first time after `now`, both in seconds since 1970. Raises CiError for what is no schedule or never due."""
    try:
        if not schedule.startswith("@") and len(schedule.split()) != _FIELDS:
            raise ValueError("it has not five fields")
        return float(croniter(schedule, now).get_next(float))
    except (CroniterError, ValueError, KeyError, TypeError) as error:
        raise CiError(
            f"{schedule!r} is no schedule: {error}", hint="as in crontab(5): 0 4 * * 1-5", reference="bad-schedule"
        ) from None
