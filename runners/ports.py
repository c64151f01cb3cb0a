"""Waiting until a service's ports accept connections, without a thread.

`runners.stage` starts one `PortWait` for a service that names ports. A port counts as open when a TCP connection is
made; nothing is sent.
"""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from runners.loop import Loop, Timer

_FIRST_PAUSE = 0.01  # seconds
_LONGEST_PAUSE = 0.25
_CONNECT_PATIENCE = 1.0  # seconds for one attempt; a container answers at once or not at all


class PortWait:
    """Tries `ports` of `address` one after the other until each has accepted, then calls `ready` once. `make` gives a
    new socket of a family that reaches the address.

    `cancel` may be called at any time, also from `ready`. It never gives up by itself: the caller has the deadline.
    """

    def __init__(
        self,
        loop: Loop,
        address: str,
        ports: tuple[int, ...],
        ready: Callable[[], None],
        *,
        make: Callable[[int], socket.socket],
    ) -> None:
        self._loop = loop
        self._address = address
        self._make = make
        self._left = list(ports)
        self._ready = ready
        self._pause = _FIRST_PAUSE
        self._socket: socket.socket | None = None
        self._timer: Timer | None = None
        self._attempt()

    @property
    def port(self) -> int:
        """The port that is waited for; 0 when there is none left."""
        return self._left[0] if self._left else 0

    def cancel(self) -> None:
        """Wait no more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket is not None:
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _attempt(self) -> None:
        self.cancel()
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        try:
            made = self._socket = self._make(family)
            code = made.connect_ex((self._address, self.port))
        except OSError as error:  # not an address
            code = error.errno or errno.EINVAL
        if code == errno.EINPROGRESS and self._socket is not None:
            self._loop.watch(self._socket.fileno(), self._connected, write=True)
            self._timer = self._loop.after(_CONNECT_PATIENCE, self._attempt)
        else:
            self._concluded(code)

    def _connected(self) -> None:
        if self._socket is not None:
            self._concluded(self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def _concluded(self, code: int) -> None:
        connected_to_itself = self._socket is not None and code == 0 and _is_self_connection(self._socket)
        self.cancel()
        if code or connected_to_itself:
            self._timer = self._loop.after(self._pause, self._attempt)
            self._pause = min(self._pause * 1.5, _LONGEST_PAUSE)
            return
        self._left.pop(0)
        self._pause = _FIRST_PAUSE
        # In a callback of its own: `ready` must not run before the constructor has returned.
        self._timer = self._loop.after(0, self._attempt if self._left else self._ready)


def _is_self_connection(sock: socket.socket) -> bool:
    """A connection to a free local port above 32768 can meet itself (TCP's simultaneous open)."""
    try:
        return bool(sock.getsockname() == sock.getpeername())
    except OSError:  # closed again already
        return True
