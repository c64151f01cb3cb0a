"""The resolver at 127.0.0.11 in a container of user-defined networks: for its peers' names, and the host's servers.

Called by the container's supervisor, whose event loop it lives in: no process or thread of its own, and it ends with
the supervisor. `listen` makes its sockets inside the container's network namespace; questions are passed on from the
host's, so that a server on the host's loopback address (systemd-resolved's 127.0.0.53) serves containers, too. A
container whose networks are all internal gets answers about its peers only. Nothing here waits: a server that does not
answer is followed by the next when the client asks again, as clients do.
"""

from __future__ import annotations

import _socket
import errno
import functools
import os
import time
from typing import TYPE_CHECKING, Protocol

from sandbox.errors import SandboxError
from sandbox.kernel.namespaces import in_network
from sandbox.kernel.netlink import Netlink
from sandbox.network import dns
from sandbox.network.redirect import redirect
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

ADDRESS = "127.0.0.11"
_PORT = 53
_LARGEST_DATAGRAM = 4096  # bytes; what EDNS clients offer at most
_LARGEST = 65535  # bytes of a message over TCP
_MOST_QUESTIONS, _MOST_CONNECTIONS = 256, 32  # at once
_PATIENCE = 12.0  # seconds after which a question without an answer is forgotten


class Zone(Protocol):
    """What the container's networks know. Asked for every question, from one thread."""

    def addresses(self, name: str) -> list[str] | None:
        """Of a name, in another order every time; None when nobody has it."""

    def name(self, address: str) -> str:
        """Of an address; "" when nobody has it."""

    def servers(self) -> list[str]:
        """Where other questions go, addresses in order; empty where there is no way out."""


class Watcher(Protocol):
    """The event loop."""

    def add(self, descriptor: int, callback: Callable[[], object], *, write: bool = False) -> None:
        """Call `callback` whenever the descriptor is readable, or writable."""

    def remove(self, descriptor: int) -> None:
        """Forget a descriptor, before it is closed."""


class Sockets(NamedTuple):
    """Where a container's questions arrive."""

    datagrams: _socket.socket
    connections: _socket.socket


def listen(namespace: int) -> Sockets:
    """Make the sockets in the network namespace behind a descriptor, with its loopback interface up.

    They are at a port that is free, to which a rule redirects port 53; where the kernel has no such rules, at that port
    itself.
    """
    return in_network(namespace, _listen)


def _listen() -> Sockets:
    with Netlink() as netlink:
        netlink.set_link("lo", up=True)
    sockets = _bind(0)
    try:
        redirect(ADDRESS, _PORT, sockets.datagrams.getsockname()[1])
    except OSError:
        for one in sockets:
            one.close()
        sockets = _bind(_PORT)
    return sockets


def _bind(port: int) -> Sockets:
    flags = _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK
    for _ in range(16):
        datagrams = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | flags)
        connections = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM | flags)
        try:
            datagrams.bind((ADDRESS, port))
            connections.bind((ADDRESS, datagrams.getsockname()[1]))
            connections.listen(_MOST_CONNECTIONS)
        except OSError as error:
            datagrams.close()
            connections.close()
            if error.errno != errno.EADDRINUSE or port:
                raise
            continue
        return Sockets(datagrams, connections)
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), ADDRESS)


class _Waiting(NamedTuple):
    """A question that was passed on, in `upstream`'s hands."""

    question: dns.Question  # with the id that the server was given
    number: int  # the client's id
    client: tuple[str, int]
    message: bytes
    server: int
    upstream: _socket.socket
    since: float


class Resolver:
    """Answers from `zone` what it knows; lives in `loop` until `close`."""

    def __init__(self, loop: Watcher, sockets: Sockets, zone: Zone) -> None:
        self._loop = loop
        self._sockets = sockets
        self._zone = zone
        self._waiting: dict[tuple[tuple[str, int], int, bytes], _Waiting] = {}
        self._connections: dict[int, _Connection] = {}
        loop.add(sockets.datagrams.fileno(), self._datagram)
        loop.add(sockets.connections.fileno(), self._accept)

    def close(self) -> None:
        """Stop, with everything that is under way."""
        for waiting in list(self._waiting.values()):
            self._forget(waiting)
        for connection in list(self._connections.values()):
            connection.close()
        for one in self._sockets:
            self._loop.remove(one.fileno())
            one.close()

    def answer(self, question: dns.Question) -> bytes | None:
        """The answer from here; None for what somebody else is to be asked."""
        try:
            return self._answer(question)
        except (OSError, ValueError, SandboxError):  # a network that is just being removed; no reason to end anything
            return dns.reply(question, [], dns.SERVER_FAILURE)

    def _answer(self, question: dns.Question) -> bytes | None:
        address = dns.address_of(question.name) if question.kind in (dns.PTR, dns.ANY) else ""
        if address and (name := self._zone.name(address)):
            return dns.reply_name(question, name)
        found = self._zone.addresses(question.name)
        if found is not None:
            return dns.reply(question, found)
        return None if self._zone.servers() else dns.reply(question, [], dns.NO_SUCH_NAME)

    def _datagram(self) -> None:
        try:
            message, client = self._sockets.datagrams.recvfrom(_LARGEST_DATAGRAM)
        except OSError:
            return
        question = dns.parse(message)
        if question is None:
            return
        answer = self.answer(question)
        if answer is not None:
            self._send(answer, client)
            return
        key = (client, question.id, question.raw)
        before = self._waiting.get(key)
        if before is not None:  # asked again
            self._forget(before)
        self._tidy()
        self._pass_on(question, message, client, 0 if before is None else before.server + 1)

    def _pass_on(self, question: dns.Question, message: bytes, client: tuple[str, int], first: int) -> None:
        servers = self._zone.servers()
        for step in range(len(servers)):
            number = first + step
            upstream = _connect(servers[number % len(servers)], _socket.SOCK_DGRAM)
            if upstream is None:
                continue
            ours = question._replace(id=int.from_bytes(os.urandom(2), "big"))
            waiting = _Waiting(ours, question.id, client, message, number, upstream, time.monotonic())
            try:
                upstream.send(dns.with_id(message, ours.id))
            except OSError:
                upstream.close()
                continue
            self._waiting[client, question.id, question.raw] = waiting
            self._loop.add(upstream.fileno(), functools.partial(self._answered, waiting))
            return
        self._send(dns.reply(question, [], dns.SERVER_FAILURE), client)

    def _answered(self, waiting: _Waiting) -> None:
        try:
            message = waiting.upstream.recv(_LARGEST)
        except BlockingIOError:
            return
        except OSError:  # nobody is there: the next one, each once
            self._forget(waiting)
            question = waiting.question._replace(id=waiting.number)
            if waiting.server + 1 < len(self._zone.servers()):
                self._pass_on(question, waiting.message, waiting.client, waiting.server + 1)
            else:
                self._send(dns.reply(question, [], dns.SERVER_FAILURE), waiting.client)
            return
        if dns.answers(waiting.question, message):  # else it is somebody's attempt to be the server
            self._forget(waiting)
            self._send(dns.with_id(message, waiting.number), waiting.client)

    def _send(self, message: bytes, client: tuple[str, int]) -> None:
        try:
            self._sockets.datagrams.sendto(message, client)
        except OSError:  # it is gone
            return

    def _forget(self, waiting: _Waiting) -> None:
        self._waiting.pop((waiting.client, waiting.number, waiting.question.raw), None)
        self._loop.remove(waiting.upstream.fileno())
        waiting.upstream.close()

    def _tidy(self) -> None:
        """Make room: the old ones, and if there are too many the oldest."""
        now = time.monotonic()
        for waiting in list(self._waiting.values()):
            if now - waiting.since < _PATIENCE and len(self._waiting) < _MOST_QUESTIONS:
                break
            self._forget(waiting)

    def _accept(self) -> None:
        try:
            descriptor, _ = self._sockets.connections._accept()  # type: ignore[attr-defined]  # of the bare socket
        except OSError:
            return
        client = _socket.socket(fileno=descriptor)
        client.setblocking(False)
        if len(self._connections) >= _MOST_CONNECTIONS:
            next(iter(self._connections.values())).close()
        self._connections[client.fileno()] = _Connection(self._loop, client, self, self._zone, self._connections)


class _Connection:
    """One client over TCP: a question with its length before it, an answer likewise, and again."""

    def __init__(
        self,
        loop: Watcher,
        client: _socket.socket,
        resolver: Resolver,
        zone: Zone,
        others: dict[int, _Connection],
    ) -> None:
        self._loop = loop
        self._client = client
        self._resolver = resolver
        self._zone = zone
        self._others = others
        self._buffer = b""
        self._closed = False
        self._upstream: _socket.socket | None = None
        self._answer = b""
        loop.add(client.fileno(), self._read)

    def close(self) -> None:
        """End it."""
        self._closed = True
        self._others.pop(self._client.fileno(), None)
        self._drop_upstream()
        self._loop.remove(self._client.fileno())
        self._client.close()

    def _read(self) -> None:
        data = _receive(self._client)
        if data is None:
            return
        self._buffer += data
        if not data or len(self._buffer) > 2 * _LARGEST:
            self.close()
            return
        if self._upstream is None:
            self._next()

    def _next(self) -> None:
        """Answer what has come, up to a question that somebody else is asked. A loop, for there may be thousands."""
        while self._upstream is None and not self._closed:
            message, self._buffer = _take(self._buffer)
            if message is None:
                return
            question = dns.parse(message)
            if question is None:
                self.close()
                return
            answer = self._resolver.answer(question)
            if answer is None:
                self._pass_on(question, message, self._zone.servers())
            else:
                self._send(answer)

    def _pass_on(self, question: dns.Question, message: bytes, servers: list[str]) -> None:
        for position, server in enumerate(servers):
            self._upstream = _connect(server, _socket.SOCK_STREAM)
            if self._upstream is not None:
                ask = functools.partial(self._ask, question, message, servers[position + 1 :])
                self._loop.add(self._upstream.fileno(), ask, write=True)
                return
        self._send(dns.reply(question, [], dns.SERVER_FAILURE))

    def _ask(self, question: dns.Question, message: bytes, others: list[str]) -> None:
        assert self._upstream is not None, "it was connected"  # noqa: S101
        try:
            self._upstream.send(len(message).to_bytes(2, "big") + message)  # the first, and small: it fits the buffer
        except OSError:  # nobody is there
            self._drop_upstream()
            self._pass_on(question, message, others)
            self._next()
            return
        self._loop.remove(self._upstream.fileno())
        self._answer = b""
        self._loop.add(self._upstream.fileno(), self._answered)

    def _answered(self) -> None:
        assert self._upstream is not None, "it was connected"  # noqa: S101
        data = _receive(self._upstream)
        if data is None:
            return
        self._answer += data
        message, _ = _take(self._answer)
        if message is not None:
            self._drop_upstream()
            self._send(message)
            self._next()
        elif not data:
            self.close()

    def _send(self, message: bytes) -> None:
        framed = len(message).to_bytes(2, "big") + message
        try:
            sent = self._client.send(framed)
        except OSError:
            sent = 0
        if sent < len(framed):  # a client that does not read
            self.close()

    def _drop_upstream(self) -> None:
        if self._upstream is not None:
            self._loop.remove(self._upstream.fileno())
            self._upstream.close()
            self._upstream = None


def _take(data: bytes) -> tuple[bytes | None, bytes]:
    """The first whole message of a stream, and the rest."""
    end = 2 + int.from_bytes(data[:2], "big")
    return (data[2:end], data[end:]) if len(data) >= max(end, 2) and end > 2 else (None, data)


def _receive(connection: _socket.socket) -> bytes | None:
    """What came; empty at the end, None when there is nothing yet."""
    try:
        return connection.recv(_LARGEST)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def _connect(server: str, kind: int) -> _socket.socket | None:
    """A socket to a server, whose port the kernel chose; None where it cannot be one."""
    address, _, zone = server.partition("%")
    family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
    try:
        upstream = _socket.socket(family, kind | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK)
    except OSError:
        return None
    try:
        scope = (0, _socket.if_nametoindex(zone)) if zone else ()
        upstream.connect((address, _PORT, *scope))
    except BlockingIOError:
        pass
    except OSError:
        upstream.close()
        return None
    return upstream
