"""How often somebody may do something: counted in Redis, so that it holds for all processes together.

A limit that is reached is answered with 429 and with when to try again. Sliding windows, by the `limits` package.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from limits import RateLimitItemPerMinute

from web.refusals import TooManyError
from web.services import current

if TYPE_CHECKING:
    from limits import RateLimitItem


class Limit(NamedTuple):
    """So many times a minute for each key. `name` is for people."""

    name: str
    times: int


LOGINS_OF_ADDRESS = Limit("attempts to log in", 20)
LOGINS_OF_ACCOUNT = Limit("attempts to log in to this account", 10)
API = Limit("requests of the API", 1200)
API_OF_STRANGERS = Limit("requests of the API without a token", 120)
UNSIGNED = Limit("requests that are not signed", 60)


def count(limit: Limit, key: str) -> None:
    """Once more. Raises TooManyError where that is too often."""
    if not current().limiter.hit(_item(limit), limit.name, key):
        raise _refusal(limit, key)


def require(limit: Limit, key: str) -> None:
    """Raises TooManyError where it was too often already; does not count."""
    if not current().limiter.test(_item(limit), limit.name, key):
        raise _refusal(limit, key)


def _refusal(limit: Limit, key: str) -> TooManyError:
    ends = current().limiter.get_window_stats(_item(limit), limit.name, key).reset_time
    return TooManyError(f"too many {limit.name}", retry_after=max(1, round(ends - time.time())))


def _item(limit: Limit) -> RateLimitItem:
    return RateLimitItemPerMinute(limit.times)
