"""Who is connected to a container's supervisor: takes their calls, passes on the answers, and tells all the end.

Made by `supervisor`, which knows the answers; the protocol is `control`'s. Whoever starts a container is the first of
the callers. Whoever connects is told the end, whether it has asked for anything or not: waiting is nothing else.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from sandbox.errors import SandboxError
from sandbox.runtime import control

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sandbox.runtime.streams import Part

Answer = dict[str, Any] | None  # none where the end is the answer, or something else that comes later


class Callers:
    """The connections of one container.

    `answer` is called with the caller, its message and the descriptors beside it, which it takes over. `left` is told
    who has hung up, and says whether the connection is still needed.
    """

    def __init__(
        self,
        loop: Part,
        answer: Callable[[socket.socket, dict[str, Any], list[int]], Answer],
        left: Callable[[socket.socket], bool],
    ) -> None:
        self._loop = loop
        self._answer = answer
        self._left = left
        self._server: socket.socket | None = None
        self._connections: list[socket.socket] = []

    def listen(self, folder: Path) -> None:
        """Let others connect; what they say is heard from the next step of the loop on."""
        server = self._server = control.listen(folder)
        self._loop.add(server.fileno(), lambda: self._accept(server))

    @property
    def listening(self) -> bool:
        """Whether others can connect."""
        return self._server is not None

    def greet(self, starter: socket.socket, message: dict[str, Any]) -> None:
        """Tell who has started the container that it runs; from then on it is a caller as the others."""
        control.send(starter, message)
        self._add(starter)

    def hand_over(self, connection: socket.socket) -> None:
        """Somebody else tells this caller its end."""
        self._connections.remove(connection)

    def dismiss(self, message: dict[str, Any]) -> None:
        """Tell everybody the end, and hear nobody any more."""
        for connection in (*self._connections, *self._unaccepted()):
            with contextlib.suppress(OSError):
                control.send(connection, message)
            self._loop.remove(connection.fileno())
            connection.close()
        self._connections.clear()
        if self._server is not None:
            self._loop.remove(self._server.fileno())
            self._server.close()

    def _accept(self, server: socket.socket) -> None:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        self._add(connection)

    def _add(self, connection: socket.socket) -> None:
        self._connections.append(connection)
        self._loop.add(connection.fileno(), lambda: self._serve(connection))

    def _serve(self, connection: socket.socket) -> None:
        try:
            received = control.receive(connection)
            if received is None:
                self._forget(connection)
                return
            reply = self._answer(connection, *received)
            if reply is not None:
                control.send(connection, reply)
        except (SandboxError, OSError, KeyError, TypeError, ValueError) as error:
            try:
                control.send(connection, control.error_message(error))
            except OSError:
                self._forget(connection)

    def _forget(self, connection: socket.socket) -> None:
        self._loop.remove(connection.fileno())
        if connection in self._connections:
            self._connections.remove(connection)
        if not self._left(connection):
            connection.close()

    def _unaccepted(self) -> Iterator[socket.socket]:
        """Who connected when it was over already; by now nobody else can."""
        while self._server is not None:
            try:
                yield self._server.accept()[0]
            except OSError:
                return
