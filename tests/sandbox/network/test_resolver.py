"""The resolver in a container's network namespace, with real questions from inside and servers on the host."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING

import pytest

from sandbox.network import dns
from sandbox.network.resolvconf import nameservers
from sandbox.network.resolver import ADDRESS, Resolver, listen
from sandbox.network.zone import Zone
from sandbox.runtime.streams import Loop
from tests.sandbox.network.isolation import MISSING, Host, Place
from tests.sandbox.network.test_dns import query, read

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox.network.isolation import Isolated

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING or "nft is there")
UPSTREAM, SECOND, DEAD = "127.0.0.53", "127.0.0.54", "127.0.0.55"


class Served:
    """A container `me` in `networks` with its resolver, which runs in a thread of the test's process."""

    def __init__(self, host: Host, *networks: str, servers: tuple[str, ...] = (UPSTREAM,)) -> None:
        self.place, self.attachments = host.container("me", *networks)
        self.loop = Loop()
        zone = Zone(host.networks, lambda: self.attachments, servers)
        self.resolver = Resolver(self.loop, listen(self.place.descriptor), zone)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            self.loop.step()

    def ask(self, name: str, kind: int = dns.A, *, attempts: int = 1, tcp: bool = False) -> tuple[int, list[str]]:
        """(code, addresses) that the container gets for a name; -1 when nobody answers."""

        def inside() -> list[str]:
            message = query(name, kind)
            if tcp:
                with socket.create_connection((ADDRESS, 53), timeout=2) as connection:
                    framed = struct.pack(">H", len(message)) + message
                    connection.sendall(framed[:1])
                    time.sleep(0.02)
                    connection.sendall(framed[1:])
                    data = connection.recv(2)
                    length = struct.unpack(">H", data)[0]
                    data = b""
                    while len(data) < length:
                        data += connection.recv(length - len(data))
                    return [data.hex()]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(0.3)
                client.connect((ADDRESS, 53))
                for _ in range(attempts):
                    client.send(message)
                    try:
                        return [client.recv(70_000).hex()]
                    except OSError:
                        continue
            return []

        found = self.place.run(inside)
        if not found:
            return -1, []
        answer = bytes.fromhex(found[0])  # type: ignore[index]
        _, code, count = read(answer)
        at = len(query(name, kind))
        addresses = []
        for _ in range(count):
            length = struct.unpack_from(">H", answer, at + 10)[0]
            data = answer[at + 12 : at + 12 + length]
            known = {4: socket.AF_INET, 16: socket.AF_INET6}
            addresses.append(socket.inet_ntop(known[length], data) if length in known else data.decode("latin-1"))
            at += 12 + length
        return code, addresses


def serve(address: str, answer: str, *, lie: bool = False) -> None:
    """A server on the host that says `answer` to everything, over UDP and TCP; with `lie` a forged one comes first."""
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind((address, 53))
    stream = socket.create_server((address, 53))

    def by_udp() -> None:
        while True:
            message, client = datagrams.recvfrom(4096)
            question = dns.parse(message)
            assert question is not None
            if lie:
                datagrams.sendto(dns.reply(question._replace(id=question.id ^ 1), ["6.6.6.6"]), client)
            datagrams.sendto(dns.reply(question, [answer]), client)

    def by_tcp() -> None:
        while True:
            connection, _ = stream.accept()
            message = connection.recv(4096)[2:]
            question = dns.parse(message)
            assert question is not None
            reply = dns.reply(question, [answer] * 1000)
            connection.sendall(struct.pack(">H", len(reply)) + reply)
            connection.close()

    for target in (by_udp, by_tcp):
        threading.Thread(target=target, daemon=True).start()


def test_names_of_peers(tmp_path: Path, isolated: Isolated) -> None:
    """By all their names, in any case, with the network's name; several with one alias take turns; all changes at once
    with who joins and leaves.
    """

    def body() -> None:
        host = Host(tmp_path)
        host.networks.create("net", subnet="10.91.0.0/24", subnet6="fd00:9::/64")
        me = Served(host, "net")
        assert me.ask("me") == (0, ["10.91.0.2"])
        host.networks.reserve("net", "1", ("web1", "web"))
        host.networks.reserve("net", "2", ("web2", "web"))
        assert me.ask("WEB1") == me.ask("web1.net") == (0, ["10.91.0.3"])
        seen = {tuple(me.ask("web")[1]) for _ in range(40)}
        assert seen == {("10.91.0.3", "10.91.0.4"), ("10.91.0.4", "10.91.0.3")}
        assert me.ask("web1", dns.AAAA) == (0, ["fd00:9::3"])
        assert me.ask("web1", 16) == (0, [])
        assert me.ask("4.0.91.10.in-addr.arpa", dns.PTR) == (0, ["\3web\3net\0"])
        for _ in range(5):
            host.networks.release("2")
            assert me.ask("web") == (0, ["10.91.0.3"])
            host.networks.reserve("net", "2", ("web2", "web"))
            assert len(me.ask("web")[1]) == 2
        assert me.ask("web", tcp=True)[0] == 0

    isolated(body)


def test_other_names_are_the_hosts_servers(tmp_path: Path, isolated: Isolated) -> None:
    """Also one on the host's loopback address, over UDP and TCP; forged answers are not believed."""

    def body() -> None:
        host = Host(tmp_path)
        host.networks.create("net")
        me = Served(host, "net")
        assert me.ask("example.org")[0] == dns.SERVER_FAILURE  # nobody is there
        serve(UPSTREAM, "203.0.113.5", lie=True)
        assert me.ask("example.org") == (0, ["203.0.113.5"])
        code, addresses = me.ask("example.org", tcp=True)
        assert (code, len(addresses)) == (0, 1000)

    isolated(body)


def test_a_dead_server_is_followed_by_the_next(tmp_path: Path, isolated: Isolated) -> None:
    """At once where the port is closed, with the client's next attempt where nobody answers."""

    def body() -> None:
        host = Host(tmp_path)
        host.networks.create("net")
        serve(SECOND, "203.0.113.6")
        me = Served(host, "net", servers=(DEAD, SECOND))
        assert me.ask("example.org") == (0, ["203.0.113.6"])
        silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        silent.bind((DEAD, 53))
        assert me.ask("example.net", attempts=1) == (-1, [])
        assert me.ask("example.net", attempts=3) == (0, ["203.0.113.6"])
        assert me.ask("example.net", tcp=True)[0] == 0

    isolated(body)


def test_an_internal_network_has_no_way_out_by_names(tmp_path: Path, isolated: Isolated) -> None:
    """Peers are found; nobody outside hears of any other question, and the answer comes at once."""

    def body() -> None:
        host = Host(tmp_path)
        host.networks.create("shut", subnet="10.91.0.0/24", internal=True)
        serve(UPSTREAM, "203.0.113.5")
        me = Served(host, "shut")
        assert me.ask("me") == (0, ["10.91.0.2"])
        assert me.ask("secret.example.org") == me.ask("secret.example.org", tcp=True) == (dns.NO_SUCH_NAME, [])

    isolated(body)


def test_a_container_may_serve_names_itself(tmp_path: Path, isolated: Isolated) -> None:
    """Port 53 is free at all addresses inside, for a DNS server in the container."""

    def body() -> None:
        host = Host(tmp_path)
        host.networks.create("net")
        me = Served(host, "net")

        def bind() -> str:
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                server = socket.socket(socket.AF_INET, kind)
                server.bind(("0.0.0.0", 53))  # noqa: S104
            return "bound"

        assert me.place.run(bind) == "bound"
        assert me.ask("me")[0] == 0

    isolated(body)


@pytest.mark.slow
def test_many_questions_and_idle_clients_at_once(tmp_path: Path, isolated: Isolated) -> None:
    """A flood of questions that nobody answers and connections that say nothing leave room for others."""

    def body() -> None:
        host = Host(tmp_path)
        host.networks.create("net")
        silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        silent.bind((UPSTREAM, 53))
        me = Served(host, "net")

        def flood() -> int:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                for number in range(600):
                    client.sendto(query(f"n{number}.example.org", number=number), (ADDRESS, 53))
                    client.sendto(os.urandom(40), (ADDRESS, 53))
            kept = [socket.create_connection((ADDRESS, 53), timeout=2) for _ in range(100)]
            for one in kept[::2]:
                one.send(b"\xff\xff")
            time.sleep(0.2)
            return len(kept)

        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        assert me.place.run(flood) == 100
        assert me.ask("me", attempts=5)[0] == 0
        assert len(os.listdir("/proc/self/fd")) < before + 320  # noqa: PTH208
        me.resolver.close()
        time.sleep(0.1)
        assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208

    isolated(body)


def test_many_questions_in_one_piece(tmp_path: Path, isolated: Isolated) -> None:
    """Over TCP a client may send a thousand without waiting, and gets a thousand answers, in their order."""
    count = 1500

    def body() -> list[int]:
        host = Host(tmp_path)
        host.networks.create("net")
        served = Served(host, "net", servers=())

        def inside() -> list[int]:
            message = query("me", dns.A)
            framed = struct.pack(">H", len(message))
            numbers: list[int] = []
            with socket.create_connection((ADDRESS, 53), timeout=30) as connection, connection.makefile("rb") as file:
                connection.sendall(b"".join(framed + dns.with_id(message, number) for number in range(count)))
                while len(numbers) < count:
                    (length,) = struct.unpack(">H", file.read(2))
                    numbers.append(int.from_bytes(file.read(length)[:2], "big"))
            return numbers

        return served.place.run(inside)  # type: ignore[return-value]

    assert isolated(body) == list(range(count))


def test_without_packet_rules_it_has_the_port_itself(isolated: Isolated, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel has no NAT, it listens at port 53."""

    def refuse(*_: object) -> None:
        raise OSError

    monkeypatch.setattr("sandbox.network.resolver.redirect", refuse)

    def body() -> int:
        place = Place()
        return int(listen(place.descriptor).datagrams.getsockname()[1])

    assert isolated(body) == 53


def test_servers_of_a_resolv_conf() -> None:
    """Comments and other lines are passed over."""
    assert nameservers("# x\nnameserver 10.0.0.1\nsearch a\nnameserver fe80::1%eth0 # b\nnameserver\n") == [
        "10.0.0.1",
        "fe80::1%eth0",
    ]
