"""Limits of processor time that hold on any machine: for what must not take for ever, whatever a stranger writes.

A limit is chosen on a machine where `_work` takes `_REFERENCE`; on a slower one, or where tests are traced, it is so
much larger as the same work takes longer there. How fast something is, is measured in `bench`, and not here.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_REFERENCE = 0.009  # seconds that `_work` takes where the limits were chosen
_LEEWAY = 3  # a processor that others share is not always equally fast


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Fails when the block takes more processor time than this, or its like on this machine."""
    limit = seconds * _slowness() * _LEEWAY
    before = time.process_time()
    yield
    took = time.process_time() - before
    assert took < limit, f"took {took:.2f} s of {limit:.2f} s"


@cache
def _slowness() -> float:
    """How many times longer than there the same takes here; never less than once."""
    times = []
    for _ in range(3):
        before = time.process_time()
        _work()
        times.append(time.process_time() - before)
    return max(1.0, max(times) / _REFERENCE)


def _work() -> None:
    """What reading files does: strings cut and put together, dictionaries, calls."""
    found: dict[str, int] = {}
    for number in range(40_000):
        key = f"key-{number % 997}".partition("-")[2]
        found[key] = found.get(key, 0) + len(key)
