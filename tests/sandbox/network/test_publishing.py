"""Published ports: who reaches them and who does not, who may claim them, and that they go with their container."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import ConflictError, InvalidError
from sandbox.kernel.netlink import Netlink, index_of
from sandbox.network.publishing import claim, text
from sandbox.network.records import PortRequest, Published
from tests.sandbox.network.isolation import HOST, MISSING, OUTSIDE, PORT, Host, nft

if TYPE_CHECKING:
    from tests.sandbox.network.isolation import Isolated

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING or "nft is there")
EVERYWHERE = Published("tcp", "", 8080, PORT)
BY_UDP = Published("udp", "", 8080, PORT)


def nobody(protocol: str, address: str, port: int) -> str:
    """No container has a port."""
    return f"{protocol}{address}{port}"[:0]


@pytest.mark.slow
def test_a_published_port_is_reached_from_everywhere(tmp_path: Path, isolated: Isolated) -> None:
    """From outside, the host at each of its addresses, other containers, other networks and the container itself."""

    def body() -> None:
        host = Host(tmp_path)
        host.networks.create("red")
        web, (at_web,) = host.container("web", "bridge", ports=(EVERYWHERE, BY_UDP))
        peer, (at_peer,) = host.container("peer", "bridge")
        other, (at_other,) = host.container("other", "red")
        gateway = at_web.gateway
        with web.serving(), web.answering():
            for ask in ("asks", "asks_by_udp"):
                assert getattr(host.outside, ask)(HOST, 8080) == OUTSIDE
                assert getattr(host.place, ask)("127.0.0.1", 8080) == gateway
                assert getattr(host.place, ask)("127.7.7.7", 8080) == gateway
                assert getattr(host.place, ask)(HOST, 8080) == HOST
                assert getattr(host.place, ask)(gateway, 8080) == gateway
                assert getattr(peer, ask)(HOST, 8080) == gateway  # answers must come back through the host
                assert getattr(peer, ask)(gateway, 8080) == gateway
                assert getattr(web, ask)(HOST, 8080) == gateway
                assert getattr(other, ask)(HOST, 8080) == at_other.address
                assert getattr(other, ask)(at_other.gateway, 8080) == at_other.address
                assert getattr(other, ask)(at_web.address, PORT, patience=0.4) == "no"
                assert getattr(host.outside, ask)(at_web.address, PORT, patience=0.4) == "no"
                assert getattr(peer, ask)(at_web.address, PORT) == at_peer.address

    isolated(body)


def test_a_port_on_one_address_is_that_address_s(tmp_path: Path, isolated: Isolated) -> None:
    """A port of the loopback address is the host's own alone, also for neighbours who address packets to it; one of an
    uplink's address is not the others'.
    """

    def body() -> None:
        host = Host(tmp_path)
        ports = (Published("tcp", "127.0.0.1", 8080, PORT), Published("tcp", HOST, 8081, PORT))
        web, (at_web,) = host.container("web", "bridge", ports=ports)
        peer, _ = host.container("peer", "bridge")

        def route_loopback(interface: str, gateway: str) -> None:
            """What a neighbour or a container with CAP_NET_ADMIN can do."""
            Path(f"/proc/sys/net/ipv4/conf/{interface}/route_localnet").write_text("1")
            with Netlink() as netlink:
                netlink.add_route(gateway, "127.0.0.9/32", index_of(interface))

        host.outside.run(lambda: route_loopback("eth0", HOST))
        peer.run(lambda: route_loopback("eth0", at_web.gateway))
        with web.serving():
            assert host.place.asks("127.0.0.1", 8080) == at_web.gateway
            assert host.place.misses(HOST, 8080)
            assert host.place.asks(HOST, 8081) == HOST
            assert host.place.misses("127.0.0.1", 8081)
            assert host.outside.asks(HOST, 8081) == OUTSIDE
            assert host.outside.misses(HOST, 8080)
            for place in (host.outside, peer):
                assert place.misses("127.0.0.9", 8080)

    isolated(body)


def test_containers_do_not_reach_the_host_s_loopback(tmp_path: Path, isolated: Isolated) -> None:
    """Bridges route loopback addresses for published ports; what a container sends there is dropped (CVE-2020-8558)."""

    def body() -> None:
        host = Host(tmp_path)
        one, (attachment,) = host.container("one", "bridge")

        def route_loopback() -> None:
            Path("/proc/sys/net/ipv4/conf/eth0/route_localnet").write_text("1")
            with Netlink() as netlink:
                netlink.add_route(attachment.gateway, "127.0.0.9/32", index_of("eth0"))

        one.run(route_loopback)
        with host.place.serving(), host.place.answering():
            assert host.place.asks("127.0.0.9") == "127.0.0.1"
            assert one.misses("127.0.0.9")
            assert one.asks_by_udp("127.0.0.9", patience=0.4) == "no"
            assert one.asks(attachment.gateway) == attachment.address
        assert Path("/proc/sys/net/ipv4/conf/all/route_localnet").read_text() == "0\n"
        assert Path("/proc/sys/net/ipv4/conf/up0/route_localnet").read_text() == "0\n"

    isolated(body)


def test_ports_go_with_their_container(tmp_path: Path, isolated: Isolated) -> None:
    """Released or reclaimed, a port leads nowhere; after a lost table it is there again; a new owner keeps it."""

    def body() -> None:
        host = Host(tmp_path)
        host.container("first", "bridge", ports=(EVERYWHERE,))
        host.networks.release("first")
        assert "elements" not in nft("list", "map", "inet", "t", "ports")
        old, _ = host.container("old", "bridge", ports=(EVERYWHERE, BY_UDP))
        nft("delete", "table", "inet", "t")
        host.container("another", "bridge")
        with old.serving():
            assert host.place.asks("127.0.0.1", 8080) != "no"
        new, _ = host.container("new", "bridge", ports=(EVERYWHERE,))  # the old one is dead, and was not reclaimed yet
        with new.serving():
            assert host.place.asks("127.0.0.1", 8080) != "no"
        host.networks.reclaim(lambda container: container == "new")
        with new.serving():
            assert host.place.asks("127.0.0.1", 8080) != "no"
        found = nft("list", "map", "inet", "t", "ports")
        assert ". 8080" in found
        assert "udp" not in found
        assert "17 . " not in found  # nft's way to write it where /etc/protocols is not installed
        host.networks.release("new")
        assert "8080" not in nft("list", "ruleset")

    isolated(body)


def test_a_client_by_udp_meets_who_is_there_now(tmp_path: Path, isolated: Isolated) -> None:
    """Also one that has sent from the same port before, to nobody or to the container's predecessor."""

    def body() -> None:
        host = Host(tmp_path)
        host.networks.ensure_default()
        port = Published("udp", "", 8080, PORT)

        def ask(seconds: float) -> str:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                client.bind(("", 5555))
                client.settimeout(seconds)
                client.sendto(b"?", (HOST, 8080))
                try:
                    return client.recv(100).decode()
                except OSError:
                    return "no"

        host.container("other", "bridge")  # so that connections are tracked
        assert host.outside.run(lambda: ask(0.1)) == "no"
        for name in ("first", "second"):
            place, _ = host.container(name, "bridge", ports=(port,))
            with place.answering():
                assert host.outside.run(lambda: ask(0.5)) == OUTSIDE
            host.networks.release(name)
        assert host.outside.run(lambda: ask(0.1)) == "no"

    isolated(body)


def test_an_internal_network_publishes_nothing(tmp_path: Path, isolated: Isolated) -> None:
    """Neither does it lead in, nor do its containers get out by the ports of others."""

    def body() -> None:
        host = Host(tmp_path)
        host.networks.create("shut", internal=True)
        inside, (attachment,) = host.container("inside", "shut", ports=(EVERYWHERE,))
        web, _ = host.container("web", "bridge", ports=(Published("tcp", "", 8081, PORT),))
        assert attachment.ports == ()
        gateway = host.networks.get("shut").gateway

        def find_a_way() -> None:
            with Netlink() as netlink:
                netlink.add_route(gateway, "default", index_of("eth0"))

        inside.run(find_a_way)
        with inside.serving(), web.serving():
            assert host.outside.misses(HOST, 8080)
            assert host.place.asks("127.0.0.1", 8081) != "no"
            assert inside.misses(HOST, 8081) and inside.misses(gateway, 8081)

    isolated(body)


def test_a_port_is_claimed_once(isolated: Isolated) -> None:
    """By engines and other programs alike; the message is docker's, and says who has it. Closed, it is free."""

    def body() -> None:
        first = claim([PortRequest(80, "tcp", "", 9000, 9000), PortRequest(53, "udp", "127.0.0.1", 9000, 9000)], nobody)
        assert [text(one.port) for one in first] == ["0.0.0.0:9000", "127.0.0.1:9000"]
        with pytest.raises(
            ConflictError, match=r"bind for 127\.0\.0\.1:9000 failed: port is already allocated"
        ) as caught:
            claim([PortRequest(1, "tcp", "", 0, 0), PortRequest(80, "tcp", "127.0.0.1", 9000, 9000)], lambda *_: "web")
        assert "container web publishes it" in str(caught.value)
        with socket.create_server(("127.0.0.1", 9001)), pytest.raises(ConflictError, match="another program"):
            claim([PortRequest(80, "tcp", "", 9001, 9001)], nobody)
        with contextlib.closing(socket.socket()) as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                other.bind(("0.0.0.0", 9000))  # noqa: S104
        (second,) = claim([PortRequest(80, "tcp", "", 9000, 9005)], nobody)
        assert second.port == Published("tcp", "", 9001, 80)
        (third,) = claim([PortRequest(80)], nobody)
        assert third.port.port > 1023
        with pytest.raises(InvalidError, match="no address of this host"):
            claim([PortRequest(80, "tcp", "203.0.113.1", 9002, 9002)], nobody)
        for one in (*first, second, third):
            one.socket.close()
        claim([PortRequest(80, "tcp", "", 9000, 9000), PortRequest(80, "tcp", "", 9001, 9001)], nobody)

    isolated(body)


def test_a_claim_ends_with_its_process(isolated: Isolated) -> None:
    """Killed, the process leaves no port behind."""

    def body() -> None:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            kept = claim([PortRequest(80, "tcp", "", 9000, 9000)], nobody)
            os.write(writing, b"x")
            signal.pause()
            del kept
        os.read(reading, 1)
        with pytest.raises(ConflictError):
            claim([PortRequest(80, "tcp", "", 9000, 9000)], nobody)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        claim([PortRequest(80, "tcp", "", 9000, 9000)], nobody)

    isolated(body)


def test_who_publishes_a_port(tmp_path: Path, isolated: Isolated) -> None:
    """The container is named, by the address and port that it has."""

    def body() -> None:
        host = Host(tmp_path)
        ports = (EVERYWHERE, Published("udp", "127.0.0.1", 9, 9))
        host.networks.reserve("bridge", "1" * 64, ("1" * 12, "web"), ports=ports)
        assert host.networks.publisher("tcp", "127.0.0.1", 8080) == "web"
        assert host.networks.publisher("udp", "", 9) == "web"
        assert host.networks.publisher("udp", HOST, 9) == ""

    isolated(body)
