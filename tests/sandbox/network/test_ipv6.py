"""Networks with IPv6: addresses, ways in and out, published ports, and hosts whose own IPv6 goes on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import ConflictError, InvalidError
from sandbox.kernel.netlink import Netlink, index_of
from sandbox.network import address, address6
from sandbox.network.address import IPV6
from sandbox.network.publishing import claim, text
from sandbox.network.records import PortRequest, Published
from tests.sandbox.network.isolation import MISSING, PORT, Host, Place

if TYPE_CHECKING:
    from tests.sandbox.network.isolation import Isolated

pytestmark = pytest.mark.skipif(
    bool(MISSING) or not Path("/proc/sys/net/ipv6").exists(), reason=MISSING or "no nft, or no IPv6 in the kernel"
)
HOST6, OUTSIDE6 = "2001:db8::1", "2001:db8::2"


def uplink(host: Host) -> None:
    """Give the uplink IPv6."""

    def outside() -> None:
        with Netlink() as netlink:
            netlink.add_address(index_of("eth0"), f"{OUTSIDE6}/64")
            netlink.add_route(HOST6, "fd00::/8", index_of("eth0"))

    with Netlink() as netlink:
        netlink.add_address(index_of("up0"), f"{HOST6}/64")
        netlink.add_route(OUTSIDE6, "default", index_of("up0"))
    host.outside.run(outside)


def asks(place: Place, address: str, port: int = PORT) -> object:
    """`Place.asks`, until there is an answer: the kernel takes a second to find a neighbour on a bridge that is new."""
    for _ in range(12):
        answer = place.asks(address, port, patience=0.4)
        if answer != "no":
            break
    return answer


@given(st.integers(0, 2**128 - 1))
def test_text_and_back(number: int) -> None:
    """Every address survives being written and read."""
    assert IPV6.parse(IPV6.text(number)) == number


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("fd00::", "not a subnet"),
        ("10.0.0.0/24", "not an IPv6 address"),
        ("fd00::/128", "unusable size"),
        ("fd00::5/64", r"the subnet is fd00::/64"),
    ],
)
def test_what_is_no_subnet(value: str, message: str) -> None:
    """Malformed and unusable ones are refused, with the value."""
    with pytest.raises(InvalidError, match=message):
        address.parse_subnet(value, IPV6)


def test_a_local_subnet() -> None:
    """Random, of the addresses that are everybody's, and one that parses."""
    subnet = address6.local_subnet(b"\1\2\3\4\5\6\7rest")
    assert str(subnet) == "fd01:203:405:607::/64"
    assert address.parse_subnet(str(subnet), IPV6) == subnet


def test_addresses_follow_the_ipv4_ones(tmp_path: Path, isolated: Isolated) -> None:
    """One allocation for both; a wanted address is kept, and nobody else gets it."""

    def body() -> None:
        networks = Host(tmp_path).networks
        made = networks.create("six", subnet="10.91.0.0/24", subnet6="fd00:1::/64")
        assert (made.subnet6, made.gateway6) == ("fd00:1::/64", "fd00:1::1")
        wanting = networks.reserve("six", "w", ("w",), wanted6="fd00:1::3")
        assert (wanting.address, wanting.address6, wanting.gateway6) == ("10.91.0.2", "fd00:1::3", "fd00:1::1")
        following = networks.reserve("six", "f", ("f",))
        assert (following.address, following.address6) == ("10.91.0.3", "fd00:1::1:0:3")
        assert type(following).from_json(following.to_json()) == following
        for wanted, error in (("fd00:1::3", ConflictError), ("fd00:1::1", InvalidError), ("fd00:2::9", InvalidError)):
            with pytest.raises(error):
                networks.reserve("six", "x", ("x",), wanted6=wanted)
        assert len(networks.attachments("six")) == 2
        with pytest.raises(InvalidError, match="has no IPv6 addresses"):
            networks.reserve("bridge", "x", ("x",), wanted6="fd00:1::9")
        with pytest.raises(ConflictError, match="overlaps network six"):
            networks.create("seven", subnet6="fd00:1::/80")
        assert networks.create("eight", ipv6=True).subnet6.startswith("fd")

    isolated(body)


@pytest.mark.slow
def test_packets_go_where_they_may(tmp_path: Path, isolated: Isolated) -> None:
    """Neighbours, the host, the outside under the host's address; not other networks, and nobody gets in unasked."""

    def body() -> None:
        host = Host(tmp_path)
        uplink(host)
        for name in ("red", "blue"):
            host.networks.create(name, ipv6=True)
        host.networks.create("shut", ipv6=True, internal=True)
        red, (at_red,) = host.container("red", "red")
        peer, (at_peer,) = host.container("peer", "red")
        blue, _ = host.container("blue", "blue")
        shut, (at_shut,) = host.container("shut", "shut")
        plain, _ = host.container("plain", "bridge")
        with red.serving(), host.outside.serving(), shut.serving():
            assert asks(peer, at_red.address6) == at_peer.address6
            assert asks(red, OUTSIDE6) == HOST6
            assert asks(host.place, at_red.address6) == at_red.gateway6
            assert host.outside.misses(at_red.address6)
            assert blue.misses(at_red.address6) and plain.misses(at_red.address6)
            assert plain.misses(OUTSIDE6)
            assert shut.misses(OUTSIDE6)
            assert host.outside.misses(at_shut.address6)

    isolated(body)


@pytest.mark.slow
def test_published_ports(tmp_path: Path, isolated: Isolated) -> None:
    """At the IPv6 addresses of the host, from outside, from the host and from neighbours."""

    def body() -> None:
        host = Host(tmp_path)
        uplink(host)
        host.networks.create("six", ipv6=True)
        ports = (
            Published("tcp", "", 8080, PORT),
            Published("tcp", "::", 8080, PORT),
            Published("tcp", HOST6, 8081, PORT),
        )
        web, (at_web,) = host.container("web", "six", ports=ports)
        peer, _ = host.container("peer", "six")
        with web.serving():
            for port in (8080, 8081):
                assert asks(host.outside, HOST6, port) == OUTSIDE6
                assert asks(host.place, HOST6, port) == HOST6
                assert asks(peer, HOST6, port) == at_web.gateway6
                assert asks(web, HOST6, port) == at_web.gateway6
            assert host.place.misses(at_web.gateway6, 8081)
            assert asks(host.place, "127.0.0.1", 8080) == at_web.gateway

    isolated(body)


def test_claims_at_both(isolated: Isolated) -> None:
    """A port without an address is claimed at both families' addresses, a random one at the same number."""

    def body() -> None:
        nobody = lambda *_: ""  # noqa: E731
        first, second = claim([PortRequest(80)], nobody, ipv6=True)
        assert first.port.port == second.port.port
        assert text(second.port) == f"[::]:{second.port.port}"
        for ipv6 in (False, True):  # of the container's network
            claim([PortRequest(80, "tcp", "::1", 9000, 9000)], nobody, ipv6=ipv6)[0].socket.close()
        (taken,) = claim([PortRequest(80, "tcp", "::", 9001, 9001)], nobody, ipv6=True)
        with pytest.raises(ConflictError, match=r"bind for \[::\]:9001 failed"):
            claim([PortRequest(80, "tcp", "", 9001, 9001)], nobody, ipv6=True)
        ports = [one.port for one in claim([PortRequest(80, "tcp", "", 9001, 9005)], nobody, ipv6=True)]
        assert ports == [Published("tcp", "", 9002, 80), Published("tcp", "::", 9002, 80)]
        taken.socket.close()

    isolated(body)


def test_a_host_that_begins_to_forward_keeps_its_own_routes(tmp_path: Path, isolated: Isolated) -> None:
    """Forwarding makes a host deaf to its routers unless accept_ra is 2; the change is told. Bridges take no
    advertisements at all.
    """

    def body() -> None:
        host = Host(tmp_path)
        conf = Path("/proc/sys/net/ipv6/conf")
        (conf / "all/forwarding").write_text("0")
        (conf / "up0/accept_ra").write_text("1")
        made = host.networks.create("six", ipv6=True)
        assert any("IPv6" in notice for notice in host.networks.notices)
        assert (conf / "all/forwarding").read_text() == "1\n"
        assert (conf / "up0/accept_ra").read_text() == "2\n"
        assert (conf / made.bridge / "accept_ra").read_text() == "0\n"
        _, (attachment,) = host.container("one", "six")
        assert attachment.address6

    isolated(body)
