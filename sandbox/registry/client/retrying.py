"""How often a request is made again, and after how long: twice as long each time, with chance in it, so that a hundred
clients that failed together do not come back together; as long as the server says where it says so (Retry-After).
"""

from __future__ import annotations

import random
import threading
import time
from email.utils import parsedate_to_datetime
from typing import NamedTuple

PASSING = frozenset((408, 429, 500, 502, 503, 504))  # statuses that a moment later may be another


class Retrying(NamedTuple):
    """`first` and `longest` are seconds; `times` counts what comes after the first try."""

    times: int = 5
    first: float = 0.5
    longest: float = 20.0
    patience: float = 60.0  # the longest Retry-After that is waited for

    def pause(self, attempt: int, said: str = "") -> float | None:
        """Seconds before try number `attempt` + 1 (from 1 on), where the last answer said `said`; None: no more."""
        if attempt > self.times:
            return None
        if said:
            asked = seconds(said)
            return asked if asked is None or asked <= self.patience else None
        longest = min(self.longest, self.first * 2.0 ** (attempt - 1))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311  (not a secret)


class Stop:
    """Says to everybody at work on something that it is over; waiting ends then, too."""

    def __init__(self) -> None:
        self._event = threading.Event()

    @property
    def is_set(self) -> bool:
        """Whether it is over."""
        return self._event.is_set()

    def set(self) -> None:
        """It is over."""
        self._event.set()

    def sleep(self, duration: float) -> None:
        """Wait, or until it is over."""
        self._event.wait(duration)


def seconds(retry_after: str) -> float | None:
    """The value of a Retry-After: a number, or a date (RFC 9110, 10.2.3); None for anything else."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
