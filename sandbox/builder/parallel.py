"""The stages of one build, each in a thread of its own; who needs another's result waits for it.

So everything that does not depend on each other goes on at the same time, a stage's first RUN beside the stage that its
last COPY takes files from. The caller's thread builds the target, which is the only stage of many a build: that one
has no threads, and its containers need no launcher.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sandbox.builder.base import Result
    from sandbox.builder.cancelling import Cancellation

_PATIENCE = 15.0  # seconds in which what was cancelled should have ended


class Stages:
    """Builds stages by `build`, which is given a number and may ask for the results of lower ones."""

    def __init__(self, build: Callable[[int], Result], cancellation: Cancellation) -> None:
        self._build = build
        self._cancellation = cancellation
        self._changed = threading.Condition()
        self._results: dict[int, Result] = {}
        self._failure: BaseException | None = None

    def solve(self, numbers: Sequence[int]) -> Result:
        """The result of the last of the numbers. Raises what the first stage that failed has raised, when all others
        have ended.
        """
        threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in numbers[:-1]]
        try:
            for thread in threads:
                thread.start()
            result = self._build(numbers[-1])
            for thread in threads:
                thread.join()
        except BaseException as error:
            self._fail(error)
            deadline = time.monotonic() + _PATIENCE
            for thread in threads:
                if thread.ident is not None:
                    thread.join(max(0.0, deadline - time.monotonic()))
        else:
            if self._failure is None:
                return result
        assert self._failure is not None  # noqa: S101
        raise self._failure

    def result(self, number: int) -> Result:
        """The result of a stage, which is waited for. CancelledError where there will be none."""
        with self._changed:
            while number not in self._results:
                self._cancellation.check()
                self._changed.wait()
            return self._results[number]

    def _run(self, number: int) -> None:
        try:
            result = self._build(number)
        except BaseException as error:  # raised in the caller's thread
            self._fail(error)
            return
        with self._changed:
            self._results[number] = result
            self._changed.notify_all()

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            # Ctrl-C ends the others first, but is what the caller has to hear.
            if self._failure is None or not isinstance(error, Exception):
                self._failure = error
        self._cancellation.cancel()
        with self._changed:
            self._changed.notify_all()
