"""Published ports that no packet rule can translate: connections are taken here and made anew to the container.

Called by the container's supervisor, whose event loop it lives in, with the sockets by which the ports were claimed
(`publishing`). It serves all ports of an ordinary user's containers, whose rules are not on the host, and of root's
those at IPv6 addresses: the kernel lets no packet out of ::1, and a network may have IPv4 alone. So the container sees
its gateway as the client, as with docker's proxy, and never its own loopback address (CVE-2021-20199). Nothing here
waits, and it ends with the supervisor.
"""

from __future__ import annotations

import _socket
import contextlib
import errno
import functools
import os
import time
from typing import TYPE_CHECKING, Protocol

from sandbox.errors import UnsupportedError
from sandbox.kernel.namespaces import in_network
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sandbox.network.publishing import Claim
    from sandbox.network.records import PortRequest, Published

PROTOCOLS = ("tcp", "udp")
_CHUNK = 1 << 18  # bytes read at once
_BACKLOG = 128
_MOST_CONNECTIONS, _MOST_CLIENTS = 256, 256  # of one port: of TCP, and of UDP
_PATIENCE = 90.0  # seconds after which a client of UDP is forgotten
_FULL = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Watcher(Protocol):
    """The event loop."""

    def add(self, descriptor: int, callback: Callable[[], object], *, write: bool = False) -> None:
        """Call `callback` whenever the descriptor is readable, or writable."""

    def remove(self, descriptor: int) -> None:
        """Forget a descriptor, before it is closed."""


class Target(NamedTuple):
    """Where a port leads: `address` tells it, "" while there is none; `place` is a descriptor of the network namespace
    it is reached in, -1 for the caller's own.
    """

    address: Callable[[Published], str]
    port: Published
    place: int

    def socket(self, kind: int) -> _socket.socket | None:
        """A socket whose connection to there is under way; None where that is not possible."""
        address = self.address(self.port)
        if not address:
            return None
        family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
        make = functools.partial(_socket.socket, family, kind | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK)
        found = in_network(self.place, make) if self.place >= 0 else make()
        try:
            found.connect((address, self.port.container))
        except BlockingIOError:
            return found
        except OSError:
            found.close()
            return None
        return found


def check(port: PortRequest) -> None:
    """Raise `UnsupportedError` for what cannot be forwarded."""
    if port.protocol not in PROTOCOLS:
        raise UnsupportedError(
            f"port {port.container}/{port.protocol} cannot be published here: only tcp and udp are forwarded",
            hint="root's engine publishes others at IPv4 addresses",
            reference="not-forwarded",
        )


class Forwarding:
    """Forwards what arrives at the sockets of `claims` to `address`, as it is at the time; lives in `loop` until
    `close`. The sockets stay the caller's; `place` (see `Target`) is taken over.
    """

    def __init__(
        self, loop: Watcher, claims: Iterable[Claim], address: Callable[[Published], str], place: int = -1
    ) -> None:
        self._place = place
        self._ports: list[_Connections | _Datagrams] = []
        for one in claims:
            target = Target(address, one.port, place)
            kind = _Connections if one.port.protocol == "tcp" else _Datagrams
            self._ports.append(kind(loop, one.socket, target))

    def close(self) -> None:
        """Stop, with every connection."""
        for port in self._ports:
            port.close()
        self._ports.clear()
        if self._place >= 0:
            os.close(self._place)
            self._place = -1


class _Connections:
    """One port of TCP."""

    def __init__(self, loop: Watcher, listener: _socket.socket, target: Target) -> None:
        self._loop = loop
        self._listener = listener
        self._target = target
        self._open: set[_Connection] = set()
        self._accepting = False
        listener.listen(_BACKLOG)
        listener.setblocking(False)
        self._accept_again()

    def close(self) -> None:
        for connection in list(self._open):
            connection.close()
        self._pause()

    def _accept_again(self) -> None:
        if not self._accepting:
            self._accepting = True
            self._loop.add(self._listener.fileno(), self._accept)

    def _pause(self) -> None:
        if self._accepting:
            self._accepting = False
            self._loop.remove(self._listener.fileno())

    def _accept(self) -> None:
        client = upstream = None
        try:
            descriptor, _ = self._listener._accept()  # type: ignore[attr-defined]  # of the bare socket
            client = _socket.socket(fileno=descriptor)
            client.setblocking(False)
            upstream = self._target.socket(_socket.SOCK_STREAM)
        except OSError as error:
            if error.errno in _FULL and self._open:  # until one of ours ends
                self._pause()
        if client is None:
            return
        if upstream is None:
            client.close()
            return
        self._open.add(_Connection(self._loop, client, upstream, self._ended))
        if len(self._open) >= _MOST_CONNECTIONS:
            self._pause()

    def _ended(self, connection: _Connection) -> None:
        self._open.discard(connection)
        self._accept_again()


class _Connection:
    """One client's: two flows, once the container has taken it; over when both are, or one breaks."""

    def __init__(
        self,
        loop: Watcher,
        client: _socket.socket,
        upstream: _socket.socket,
        ended: Callable[[_Connection], object],
    ) -> None:
        self._loop = loop
        self._client = client
        self._upstream = upstream
        self._ended = ended
        self._flows: list[_Flow] = []
        self._closed = False
        client.setsockopt(_socket.SOL_SOCKET, _socket.SO_KEEPALIVE, 1)  # a client that is gone without a word
        loop.add(upstream.fileno(), self._connected, write=True)

    def close(self) -> None:
        """End it."""
        if self._closed:
            return
        self._closed = True
        for flow in self._flows:
            flow.stop()
        if not self._flows:
            self._loop.remove(self._upstream.fileno())
        self._client.close()
        self._upstream.close()
        self._ended(self)

    def _connected(self) -> None:
        if self._upstream.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR):
            self.close()
            return
        self._loop.remove(self._upstream.fileno())
        for source, sink in ((self._client, self._upstream), (self._upstream, self._client)):
            self._flows.append(_Flow(self._loop, source, sink, self._advanced))

    def _advanced(self, *, broken: bool) -> None:
        if broken or all(flow.over for flow in self._flows):
            self.close()


class _Flow:
    """What one end sends to the other, up to its end, which is passed on. What the sink does not take is kept, and the
    source not read until then.
    """

    def __init__(
        self, loop: Watcher, source: _socket.socket, sink: _socket.socket, advanced: Callable[..., object]
    ) -> None:
        self.over = False
        self._loop = loop
        self._source = source
        self._sink = sink
        self._advanced = advanced
        self._kept = b""
        self._waiting = -1  # a descriptor of the sink's own, for the loop knows each but once
        self._reading = True
        loop.add(source.fileno(), self._read)

    def stop(self) -> None:
        """Leave the loop."""
        if self._reading:
            self._reading = False
            self._loop.remove(self._source.fileno())
        if self._waiting >= 0:
            self._loop.remove(self._waiting)
            os.close(self._waiting)
            self._waiting = -1

    def _read(self) -> None:
        try:
            data = self._source.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self._advanced(broken=True)
            return
        if data:
            self._write(data)
            return
        self.stop()
        self.over = True
        with contextlib.suppress(OSError):  # it is gone already
            self._sink.shutdown(_socket.SHUT_WR)
        self._advanced(broken=False)

    def _write(self, data: bytes) -> None:
        try:
            sent = self._sink.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._advanced(broken=True)
            return
        self._kept = data[sent:]
        if self._kept and self._waiting < 0:
            self.stop()
            self._waiting = os.dup(self._sink.fileno())
            self._loop.add(self._waiting, lambda: self._write(self._kept), write=True)
        elif not self._kept and self._waiting >= 0:
            self.stop()
            self._reading = True
            self._loop.add(self._source.fileno(), self._read)


class _Client(NamedTuple):
    """Somebody who sent datagrams: `seen` (time.monotonic) is when he did last."""

    upstream: _socket.socket
    seen: float


class _Datagrams:
    """One port of UDP: a socket for each client, by which the container's answers come back."""

    def __init__(self, loop: Watcher, socket: _socket.socket, target: Target) -> None:
        self._loop = loop
        self._socket = socket
        self._target = target
        self._clients: dict[tuple[object, ...], _Client] = {}
        socket.setblocking(False)
        loop.add(socket.fileno(), self._arrived)

    def close(self) -> None:
        for address in list(self._clients):
            self._forget(address)
        self._loop.remove(self._socket.fileno())

    def _arrived(self) -> None:
        try:
            data, address = self._socket.recvfrom(_CHUNK)
        except OSError:  # nothing there after all, or word of an answer that nobody took
            return
        known = self._clients.pop(address, None)
        upstream = self._begin(address) if known is None else known.upstream
        if upstream is None:
            return
        self._clients[address] = _Client(upstream, time.monotonic())
        with contextlib.suppress(OSError):  # as a network may, it is lost
            upstream.send(data)

    def _begin(self, address: tuple[object, ...]) -> _socket.socket | None:
        now = time.monotonic()
        for other, client in list(self._clients.items()):  # in the order in which they were seen
            if now - client.seen < _PATIENCE and len(self._clients) < _MOST_CLIENTS:
                break
            self._forget(other)
        try:
            upstream = self._target.socket(_socket.SOCK_DGRAM)
        except OSError:
            return None
        if upstream is not None:
            self._loop.add(upstream.fileno(), functools.partial(self._answered, upstream, address))
        return upstream

    def _answered(self, upstream: _socket.socket, address: tuple[object, ...]) -> None:
        with contextlib.suppress(OSError):  # nobody listens there, or the client is gone
            self._socket.sendto(upstream.recv(_CHUNK), address)

    def _forget(self, address: tuple[object, ...]) -> None:
        upstream = self._clients.pop(address).upstream
        self._loop.remove(upstream.fileno())
        upstream.close()
