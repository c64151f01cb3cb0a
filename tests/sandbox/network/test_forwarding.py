"""Ports that are forwarded: protocols and families, whole streams in both directions, clients and servers that fail."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import UnsupportedError
from sandbox.network import forwarding
from sandbox.network.forwarding import Forwarding
from sandbox.network.publishing import claim
from sandbox.network.records import PortRequest, Published
from sandbox.runtime.streams import Loop
from tests.sandbox.network.isolation import PORT, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.sandbox.network.isolation import Isolated

LARGE = os.urandom(1 << 20) * 8


@contextlib.contextmanager
def forwarded(*requests: PortRequest, address: str = "127.0.0.1", place: int = -1) -> Iterator[list[Published]]:
    """The ports, forwarded by a process of their own to `address` until the block ends."""
    claims = claim(requests, lambda *_: "")
    pid = os.fork()
    if pid == 0:
        loop = Loop()
        Forwarding(loop, claims, lambda _: address, place)
        while True:
            loop.step()
    for one in claims:
        one.socket.close()
    try:
        yield [one.port for one in claims]
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@contextlib.contextmanager
def server(behaviour: Callable[[socket.socket], object]) -> Iterator[int]:
    """A server at a port of 127.0.0.1, which does something with every connection."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    behaviour(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def everything(connection: socket.socket) -> bytes:
    """All that comes, to the end."""
    found = b""
    while data := connection.recv(1 << 16):
        found += data
    return found


def hangs_up(port: int) -> None:
    """Whoever is at the port of 127.0.0.1 says nothing and ends the connection."""
    with (
        contextlib.suppress(ConnectionError),
        socket.create_connection(("127.0.0.1", port), timeout=30) as client,
    ):
        client.sendall(b"more than it reads")
        assert everything(client) == b""


def echo(connection: socket.socket) -> None:
    """Answer when all has come."""
    connection.sendall(everything(connection))


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_streams_arrive_whole(isolated: Isolated, address: str) -> None:
    """Megabytes in both directions, more than anybody's buffers hold; the end of one is passed on by itself."""

    def body() -> None:
        with (
            server(echo) as port,
            forwarded(PortRequest(port, "tcp", address)) as (published,),
            socket.create_connection((address, published.port), timeout=30) as client,
        ):
            client.sendall(LARGE)
            client.shutdown(socket.SHUT_WR)
            assert everything(client) == LARGE

    isolated(body)


def test_many_at_once(isolated: Isolated) -> None:
    """More connections than are forwarded at a time wait for their turn."""

    def body() -> None:
        with server(echo) as port, forwarded(PortRequest(port, "tcp", "127.0.0.1")) as (published,):
            clients = [socket.create_connection(("127.0.0.1", published.port), timeout=30) for _ in range(300)]
            for number, client in enumerate(clients):
                client.sendall(str(number).encode())
                client.shutdown(socket.SHUT_WR)
            for number, client in enumerate(clients):
                assert everything(client) == str(number).encode()
                client.close()

    isolated(body)


def test_who_does_not_answer(isolated: Isolated) -> None:
    """A client of a port where nobody listens, or of a server that hangs up, sees the end; the next is served."""

    def body() -> None:
        with server(lambda connection: connection.recv(1)) as port:
            requests = (PortRequest(port, "tcp", "127.0.0.1"), PortRequest(1, "tcp", "127.0.0.1"))
            with forwarded(*requests) as (rude, nobody):
                for published in (rude, nobody, rude):
                    hangs_up(published.port)
        with forwarded(PortRequest(PORT, "tcp", "127.0.0.1"), address="") as (published,):
            hangs_up(published.port)

    isolated(body)


def test_datagrams(isolated: Isolated) -> None:
    """Answers come back to each client, from the address that was asked; one that nobody takes harms nobody."""

    def body() -> None:
        here = Place(os.open("/proc/self/ns/net", os.O_RDONLY))
        requests = (PortRequest(PORT, "udp", "127.0.0.1"), PortRequest(1, "udp", "127.0.0.1"))
        with here.answering(), forwarded(*requests) as (published, nobody):
            assert here.asks_by_udp("127.0.0.1", nobody.port, patience=0.4) == "no"
            with contextlib.ExitStack() as stack:
                clients = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(300)]
                for client in clients:  # more than are remembered
                    client.settimeout(30)
                    client.connect(("127.0.0.1", published.port))
                    client.send(b"?")
                    assert client.recv(100) == b"127.0.0.1"
                clients[0].send(b"?")
                assert clients[0].recv(100) == b"127.0.0.1"

    isolated(body)


def test_another_namespace(isolated: Isolated) -> None:
    """What listens in the place given is reached, as somebody who is there would."""

    def body() -> None:
        place = Place()
        place.run(_loopback_up)
        with place.serving(), place.answering():
            requests = (PortRequest(PORT, "tcp", "127.0.0.1"), PortRequest(PORT, "udp", "127.0.0.1"))
            with forwarded(*requests, place=place.descriptor) as (by_tcp, by_udp):
                here = Place(os.open("/proc/self/ns/net", os.O_RDONLY))
                assert here.asks("127.0.0.1", by_tcp.port) == "127.0.0.1"
                assert here.asks_by_udp("127.0.0.1", by_udp.port) == "127.0.0.1"
                assert here.misses("127.0.0.1")

    isolated(body)


def _loopback_up() -> None:
    from sandbox.kernel.netlink import Netlink  # noqa: PLC0415

    with Netlink() as netlink:
        netlink.set_link("lo", up=True)


def test_it_ends(isolated: Isolated) -> None:
    """Everything is let go of, connections that are under way, too; the claimed socket stays its owner's."""

    def body() -> None:
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        with server(lambda connection: connection.recv(100)) as port:
            requests = (PortRequest(port, "tcp", "127.0.0.1"), PortRequest(port, "udp", "127.0.0.1"))
            claims = claim(requests, lambda *_: "")
            loop = Loop()
            place = os.open("/proc/self/ns/net", os.O_RDONLY)
            working = Forwarding(loop, claims, lambda _: "127.0.0.1", place)
            with socket.create_connection(("127.0.0.1", claims[0].port.port)) as client:
                client.sendall(b"x")
                for _ in range(3):
                    loop.step(1)
                working.close()
                assert not loop.step(0)
            for one in claims:
                one.socket.close()
        os.close(loop._poll.detach() if hasattr(loop._poll, "detach") else loop._poll.fileno())
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208

    isolated(body)


def test_sctp_is_refused() -> None:
    """In one line that names the port."""
    with pytest.raises(UnsupportedError, match="5/sctp cannot be published here: only tcp and udp are forwarded"):
        forwarding.check(PortRequest(5, "sctp"))
    forwarding.check(PortRequest(5, "udp"))
