"""Networks in the kernel: who reaches whom, under which address, and what becomes of bridges and rules.

Every test has a host of its own: a network namespace with an uplink to another one, which plays the outside world.
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.kernel.netlink import Netlink, index_of
from sandbox.network.interface import configure
from sandbox.network.networks import Networks
from tests.sandbox.network.isolation import HOST, MISSING, OUTSIDE, PORT, Host, Place

if TYPE_CHECKING:
    from tests.sandbox.network.isolation import Isolated

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING or "nft is there")


def test_containers_reach_each_other_the_host_and_the_outside(tmp_path: Path, isolated: Isolated) -> None:
    """On one network by their own addresses, the host at the gateway and back, and the outside under the host's
    address.
    """

    def body() -> None:
        host = Host(tmp_path)
        one, (first,) = host.container("one", "bridge")
        two, (second,) = host.container("two", "bridge")
        with two.serving(), host.place.serving(), host.outside.serving():
            assert one.asks(second.address) == first.address
            assert one.asks("10.80.0.1") == first.address
            assert one.asks(HOST) == first.address
            assert host.place.asks(second.address) == "10.80.0.1"
            assert one.asks(OUTSIDE) == HOST
            assert two.asks(OUTSIDE) == HOST
            assert two.asks("127.0.0.1") == "127.0.0.1"
            assert host.place.asks("10.80.0.1") == "10.80.0.1"
        assert "does now" in " ".join(host.networks.notices)

    isolated(body)


def test_nothing_new_comes_in_from_outside(tmp_path: Path, isolated: Isolated) -> None:
    """A neighbour who routes to the containers' addresses by this host gets no connection, and host addresses stay
    reachable.
    """

    def body() -> None:
        host = Host(tmp_path)
        one, (first,) = host.container("one", "bridge")
        with one.serving(), host.place.serving():
            assert host.outside.misses(first.address)
            assert host.outside.asks(HOST) == OUTSIDE

    isolated(body)


@pytest.mark.slow
def test_networks_are_isolated_from_each_other(tmp_path: Path, isolated: Isolated) -> None:
    """Containers of different networks do not meet; one in both reaches both; each reaches the outside."""

    def body() -> None:
        host = Host(tmp_path)
        host.networks.create("red")
        host.networks.create("blue")
        red, (at_red,) = host.container("r", "red")
        blue, (at_blue,) = host.container("b", "blue")
        both, (first, second) = host.container("both", "red", "blue")
        assert (first.interface, second.interface) == ("eth0", "eth1")
        with red.serving(), blue.serving(), host.outside.serving():
            assert red.misses(at_blue.address)
            assert blue.misses(at_red.address)
            assert both.asks(at_red.address) == first.address
            assert both.asks(at_blue.address) == second.address
            assert red.asks(OUTSIDE) == blue.asks(OUTSIDE) == both.asks(OUTSIDE) == HOST

    isolated(body)


def test_two_engines_on_a_host_are_isolated_too(tmp_path: Path, isolated: Isolated) -> None:
    """Containers of engines with different homes do not meet either."""

    def body() -> None:
        host = Host(tmp_path)
        one, _ = host.container("one", "bridge")
        host.networks = Networks(tmp_path / "second/networks", prefix="u")
        two, (second,) = host.container("two", "bridge")
        with two.serving(), host.outside.serving():
            assert one.misses(second.address)
            assert one.asks(OUTSIDE) == two.asks(OUTSIDE) == HOST

    isolated(body)


@pytest.mark.slow
def test_from_an_internal_network_there_is_no_way_out(tmp_path: Path, isolated: Isolated) -> None:
    """Its containers meet, and the host reaches them; they reach neither the outside nor the host, even with a route of
    their own.
    """

    def body() -> None:
        host = Host(tmp_path)
        network = host.networks.create("shut", internal=True)
        one, (first,) = host.container("one", "shut")
        two, (second,) = host.container("two", "shut")

        def forge() -> None:
            with Netlink() as netlink:
                netlink.add_route(network.gateway, "default", index_of("eth0"))

        with two.serving(), host.place.serving(), host.outside.serving():
            assert one.asks(second.address) == first.address
            assert host.place.asks(second.address) == network.gateway
            for _ in range(2):
                assert one.misses(OUTSIDE)
                assert one.misses(network.gateway)
                assert one.misses(HOST)
                with contextlib.suppress(AssertionError):
                    one.run(forge)

    isolated(body)


def test_a_forged_source_address_does_not_get_out(tmp_path: Path, isolated: Isolated) -> None:
    """A container that takes an address which is not its network's reaches nobody beyond the host."""

    def body() -> None:
        host = Host(tmp_path)
        one, _ = host.container("one", "bridge")

        def forge() -> str:
            with Netlink() as netlink:
                netlink.add_address(index_of("eth0"), "203.0.113.9/32")
            try:
                with socket.create_connection((OUTSIDE, PORT), timeout=0.4, source_address=("203.0.113.9", 0)):
                    return "through"
            except OSError:
                return "no"

        def route_back() -> None:
            with Netlink() as netlink:
                netlink.add_route(HOST, "203.0.113.0/24", index_of("eth0"))

        host.outside.run(route_back)
        with Netlink() as netlink:
            netlink.add_route(None, "203.0.113.9/32", index_of("t0"))
        with host.outside.serving():
            assert one.run(forge) == "no"
            assert one.asks(OUTSIDE) == HOST

    isolated(body)


def test_interface_inside(tmp_path: Path, isolated: Isolated) -> None:
    """Name, mac and MTU of the uplink are right, IPv6 is off but for localhost, one default route, low ports for
    everybody.
    """

    def body() -> None:
        host = Host(tmp_path)
        host.networks.create("second", mtu=1280)
        place, (first, second) = host.container("one", "bridge", "second")

        def look() -> object:
            with Netlink() as netlink:
                links = {link.name: [link.up, link.mtu, link.mac] for link in netlink.links() if link.name != "lo"}
                defaults = [route.gateway for route in netlink.routes() if route.destination == "default"]
            inet6 = [line.split()[-1] for line in Path("/proc/net/if_inet6").read_text().splitlines()]
            low = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text().strip()
            return [links, defaults, inet6, low]

        assert place.run(look) == [
            {"eth0": [True, 1400, first.mac], "eth1": [True, 1280, second.mac]},
            [first.gateway],
            ["lo"],
            "0",
        ]
        with Netlink() as netlink:
            end, bridge = netlink.link(first.host_interface), netlink.link("t0")
            assert end is not None
            assert bridge is not None
            assert (end.up, end.master, end.mtu) == (True, bridge.ifindex, 1400)
        assert Path("/proc/sys/net/ipv6/conf/t0/disable_ipv6").read_text() == "1\n"

    isolated(body)


def test_no_network_is_loopback_only(isolated: Isolated) -> None:
    """`--network none`: lo is up, there is nothing else."""

    def body() -> object:
        place = Place()
        place.run(lambda: configure(()))

        def look() -> object:
            with Netlink() as netlink:
                return [[link.name, link.up] for link in netlink.links() if link.kind not in ("sit", "ipip", "gre")]

        return place.run(look)

    assert ["lo", True] in isolated(body)  # type: ignore[operator]
