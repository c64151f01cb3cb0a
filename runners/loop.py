"""The runner's event loop: descriptors and timers on one thread.

Everything that a build waits for is a descriptor (a step's output, its end) or a moment (a timeout), so one thread
serves all steps of all Stages. One thread is also a condition of the engine, whose containers begin as clones of this
process. Used by `runners.stage` and `runners.build`; tests subclass it to run on virtual time.
"""

from __future__ import annotations

import heapq
import selectors
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Timer:
    """A callback at a moment of the loop's clock; `cancel()` is idempotent and allowed after it ran."""

    __slots__ = ("callback", "when")

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Forget the callback; the loop drops the entry when its moment comes."""
        self.callback = None


class Loop:
    """Calls back when a descriptor becomes ready or a moment has come; callbacks run one at a time, in the order of
    events.
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Timer]] = []
        self._sequence = 0

    def now(self) -> float:
        """Seconds on a clock that never goes back."""
        return time.monotonic()

    def watch(self, descriptor: int, callback: Callable[[], None], *, write: bool = False) -> None:
        """Call back whenever `descriptor` is readable (or writable with `write`), until `forget`."""
        event = selectors.EVENT_WRITE if write else selectors.EVENT_READ
        self._selector.register(descriptor, event, callback)

    def forget(self, descriptor: int) -> None:
        """Watch no more; must be called before the descriptor is closed. Unknown descriptors are ignored."""
        try:
            self._selector.unregister(descriptor)
        except (KeyError, ValueError):
            return

    def after(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Call back once, `delay` seconds from now."""
        timer = Timer(self.now() + delay, callback)
        self._sequence += 1
        heapq.heappush(self._timers, (timer.when, self._sequence, timer))
        return timer

    def run(self, until: Callable[[], bool]) -> None:
        """Serve events until `until()` holds; it is asked again after each round of events."""
        while not until():
            self._drop_cancelled()
            timeout = None if not self._timers else max(0.0, self._timers[0][0] - self.now())
            self.round(timeout)

    def round(self, timeout: float | None) -> None:
        """Wait at most `timeout` seconds for descriptors, then serve them and the timers that are due."""
        for key, _ in self._wait(timeout):
            # A callback of this round may have forgotten (and closed) a descriptor that was ready too.
            if self._selector.get_map().get(key.fd) is key:
                key.data()
        now = self.now()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            if timer.callback is not None:
                timer.callback()

    def close(self) -> None:
        """Give the selector's descriptor back."""
        self._selector.close()

    def _wait(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        return self._selector.select(timeout)

    def _drop_cancelled(self) -> None:
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
