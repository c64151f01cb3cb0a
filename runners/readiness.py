"""Waiting until a service can be used: its ports accept connections, and its healthcheck has passed.

`runners.running` starts one `Readiness` for a service that can tell. It never gives up by itself: who made it has the
deadline, and asks `missing` what was still waited for then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runners.ports import PortWait

if TYPE_CHECKING:
    from collections.abc import Callable

    from ci.pipeline.spec import StepSpec
    from runners.backend import Handle
    from runners.loop import Loop, Timer

_FIRST_PAUSE = 0.02  # seconds between two looks at a container's health
_LONGEST_PAUSE = 0.25


class Readiness:
    """Calls `ready` once, when all that the service says about itself holds. `cancel` may be called at any time."""

    def __init__(self, loop: Loop, step: StepSpec, handle: Handle, ready: Callable[[], None]) -> None:
        self._loop = loop
        self._step = step
        self._handle = handle
        self._ready = ready
        self._is_checked = step.healthcheck is not None
        self._pause = _FIRST_PAUSE
        self._timer: Timer | None = None
        self._ports: PortWait | None = None
        # An address may be unknown; a service that died at once is seen before the callback.
        if step.ports and handle.address:
            self._ports = PortWait(loop, handle.address, step.ports, self._accepts, make=handle.tcp_socket)
        else:
            self._timer = loop.after(0, self._accepts)

    @property
    def missing(self) -> str:
        """What has not come yet, to go on with `within 1 min` or `before it ended`."""
        if self._ports is not None and self._ports.port:
            return f"port {self._ports.port} did not accept"
        if not self._is_checked:
            return f"port {self._step.ports[0]} did not accept"
        said = self._handle.health().output.strip().partition("\n")[0]
        return f"its healthcheck did not pass ({said})" if said else "its healthcheck did not pass"

    def cancel(self) -> None:
        """Wait no more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._ports is not None:
            self._ports.cancel()

    def _accepts(self) -> None:
        if not self._is_checked or self._handle.health().passed:
            self._ready()
            return
        self._timer = self._loop.after(self._pause, self._accepts)
        self._pause = min(self._pause * 1.5, _LONGEST_PAUSE)
