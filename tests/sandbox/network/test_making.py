"""Networks that are there by themselves: listed before anything is made, and the default one's way round collisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.errors import NotFoundError
from sandbox.kernel.netlink import Netlink, index_of
from sandbox.network.networks import Networks
from tests.sandbox.network.isolation import HOST, MISSING, OUTSIDE, Host

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox.network.isolation import Isolated

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING or "nft is there")


def test_predefined_networks_are_listed_before_their_first_use(tmp_path: Path, isolated: Isolated) -> None:
    """`bridge`, `host` and `none` are always among everything, under ids that stay, and nothing is made for it."""

    def body() -> None:
        networks = Networks(tmp_path / "networks", prefix="t")
        before = networks.everything()
        assert [(one.name, one.driver) for one in before] == [("bridge", "bridge"), ("host", "host"), ("none", "null")]
        assert not (tmp_path / "networks").exists()
        made = networks.ensure_default()
        networks.create("zoo")
        after = networks.everything()
        assert [one.id for one in after[:3]] == [one.id for one in before]
        assert after[0] == made
        assert after[3].name == "zoo"
        assert networks.look_up("none") == networks.look_up(before[2].id[:12]) == before[2]
        with pytest.raises(NotFoundError):
            networks.look_up("nobody")
        assert len({one.id for one in (*before, *Networks(tmp_path / "other", prefix="o").everything())}) == 6

    isolated(body)


def test_the_default_network_moves_out_of_the_way(tmp_path: Path, isolated: Isolated) -> None:
    """When a route of the host has come to lie over its subnet, the next container finds it on another one; not while
    somebody is in it.
    """

    def body() -> None:
        networks = Networks(tmp_path / "networks", prefix="t")
        first = networks.ensure_default()
        networks.reserve("bridge", "early", ("early",))
        with Netlink() as netlink:
            netlink.add_bridge("vpn")
            netlink.add_address(index_of("vpn"), "10.80.3.1/24")
            netlink.set_link("vpn", up=True)
        assert networks.reserve("bridge", "late", ("late",)).address == "10.80.0.3"
        networks.release("early")
        networks.release("late")
        attachment = networks.reserve("bridge", "new", ("new",))
        moved = networks.get("bridge")
        assert (moved.subnet, moved.gateway, moved.id) == ("10.80.4.0/22", "10.80.4.1", first.id)
        assert attachment.address.startswith("10.80.4.")

    isolated(body)


def test_the_default_network_works_where_it_moved_to(tmp_path: Path, isolated: Isolated) -> None:
    """After a collision the bridge has the new addresses alone, and containers get out from there."""

    def body() -> None:
        host = Host(tmp_path)
        host.container("one", "bridge")
        host.networks.release("one")
        with Netlink() as netlink:
            netlink.add_route(OUTSIDE, "10.80.0.0/23", index_of("up0"))
        two, (attachment,) = host.container("two", "bridge")
        assert attachment.address.startswith("10.80.4.")
        with Netlink() as netlink:
            own = [route.destination for route in netlink.routes(4) if route.ifindex == index_of("t0")]
        assert own == ["10.80.4.0/22"]
        with host.outside.serving():
            assert two.asks(OUTSIDE) == HOST

    isolated(body)
