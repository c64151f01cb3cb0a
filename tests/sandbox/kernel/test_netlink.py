"""Netlink: links, addresses and routes made, read back and refused, each test in a network namespace of its own."""

from __future__ import annotations

import errno
import json
import os
import traceback
import warnings
from typing import TYPE_CHECKING

import pytest

from sandbox.kernel.namespaces import Flags, unshare
from sandbox.kernel.netlink import Netlink, add_address, add_route, attribute, attributes, index_of, set_link

if TYPE_CHECKING:
    from collections.abc import Callable


def isolated(function: Callable[[], object]) -> object:
    """What `function` gives in a child with a fresh network namespace (and as root of a user namespace, for whom is
    none).
    """
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        try:
            unshare(Flags.NEWNET if os.geteuid() == 0 else Flags.NEWNET | Flags.NEWUSER)
            result: object = ["ok", function()]
        except PermissionError as error:
            result = ["skip", str(error)]
        except BaseException:
            result = ["failed", traceback.format_exc()]
        os.write(writing, json.dumps(result).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        outcome, value = json.load(stream)
    os.waitpid(pid, 0)
    if outcome == "skip":
        pytest.skip(value)
    assert outcome == "ok", value
    return value


def test_a_bridge_with_an_address_and_a_route() -> None:
    """A bridge is made with its mtu, mac and alias, set up, given an address and a route, and read back."""

    def body() -> object:
        with Netlink() as netlink:
            assert netlink.link("br0") is None
            netlink.add_bridge("br0", mtu=1400, mac="02:42:0a:58:00:01", alias="some text")
            index = index_of("br0")
            netlink.add_address(index, "10.88.0.1/22")
            netlink.set_link(index, up=True)
            netlink.add_route("10.88.0.9", "default", index)
            netlink.add_route(None, "10.99.0.0/16", index)
            link = netlink.link("br0")
            assert link is not None
            assert link in netlink.links()
            routes = [[route.destination, route.gateway] for route in netlink.routes() if route.table == 254]
            return [link[1:], sorted(route for route in routes if ":" not in route[0])]

    assert isolated(body) == [
        ["br0", True, 1400, "02:42:0a:58:00:01", 0, "some text", "bridge"],
        [["10.88.0.0/22", ""], ["10.99.0.0/16", ""], ["default", "10.88.0.9"]],
    ]


def test_a_veth_pair_into_another_namespace_in_one_message() -> None:
    """The host's end is up and on the bridge, the peer sits in the other namespace with its name, mac and mtu."""

    def body() -> object:
        outside = os.open("/proc/self/ns/net", os.O_RDONLY)
        with Netlink() as far:
            unshare(Flags.NEWNET)
            with Netlink() as near:
                near.add_bridge("br0")
                master = index_of("br0")
                near.add_veth(
                    "hv0", "eth0", peer_namespace_fd=outside, master_index=master, mtu=1300, mac="02:42:00:00:00:07"
                )
                here, there = near.link("hv0"), far.link("eth0")
                assert here is not None
                assert there is not None
                assert near.link("eth0") is None
                return [here.up, here.master == master, here.kind, there.name, there.up, there.mac, there.mtu]

    assert isolated(body) == [True, True, "veth", "eth0", False, "02:42:00:00:00:07", 1300]


def test_links_are_changed_and_deleted() -> None:
    """Name, mtu, master and state are changed by index or name; deletion takes the peer along."""

    def body() -> object:
        with Netlink() as netlink:
            netlink.add_bridge("br0")
            netlink.add_veth("a0", "b0")
            netlink.set_link("a0", mtu=1280, master=index_of("br0"))
            netlink.set_link(index_of("b0"), new_name="renamed", mac="02:00:00:00:00:01")
            before = netlink.link("a0"), netlink.link("renamed")
            assert before[0] is not None
            assert before[1] is not None
            netlink.set_link("a0", up=False, master=0)
            after = netlink.link("a0")
            assert after is not None
            netlink.delete_link("a0")
            names = sorted(link.name for link in netlink.links() if link.kind == "veth")
            return [before[0].mtu, before[0].master > 0, before[1].mac, after.master, after.up, names]

    assert isolated(body) == [1280, True, "02:00:00:00:00:01", 0, False, []]


def test_ipv6_addresses_and_routes() -> None:
    """The same calls take IPv6."""

    def body() -> object:
        with Netlink() as netlink:
            netlink.add_bridge("br0")
            index = index_of("br0")
            netlink.send(set_link(index, up=True), add_address(index, "fd00:88::1/64"))
            netlink.add_route("fd00:88::9", "fd00:99::/48", index)
            return sorted(route.destination for route in netlink.routes() if route.gateway)

    assert isolated(body) == ["fd00:99::/48"]


def test_refusals_name_the_link_and_the_reason() -> None:
    """A taken name, a missing link, a wrong address and a name too long are errors with errno and subject."""

    def body() -> object:
        found: list[list[object]] = []

        def attempt(function: Callable[[], object]) -> None:
            try:
                function()
            except OSError as error:
                found.append([error.errno, error.filename])

        with Netlink() as netlink:
            netlink.add_bridge("br0")
            attempt(lambda: netlink.add_bridge("br0"))
            attempt(lambda: netlink.set_link("none0", up=True))
            attempt(lambda: netlink.delete_link("none1"))
            attempt(lambda: netlink.add_address(index_of("br0"), "10.1"))
            attempt(lambda: netlink.add_bridge("a-name-too-long-by-far"))
            attempt(lambda: netlink.add_route("10.7.7.7", "default", index_of("br0")))
            attempt(lambda: index_of("none2"))
        return found

    assert isolated(body) == [
        [errno.EEXIST, "br0"],
        [errno.ENODEV, "none0"],
        [errno.ENODEV, "none1"],
        [errno.EINVAL, "10.1"],
        [errno.EINVAL, "a-name-too-long-by-far"],
        [errno.ENETUNREACH, "default"],
        [errno.ENODEV, "none2"],
    ]


def test_the_kernels_own_words_are_kept() -> None:
    """Where the kernel explains a refusal (extended acknowledgement), the error's text has the explanation."""

    def body() -> object:
        with Netlink() as netlink:
            netlink.add_bridge("br0")
            netlink.set_link("br0", up=True)
            netlink.add_address(index_of("br0"), "10.88.0.1/24")
            try:
                netlink.add_route("10.7.7.7", "default", index_of("br0"))
            except OSError as error:
                return error.strerror
        return None

    assert "Nexthop has invalid gateway" in str(isolated(body))


def test_the_first_failure_of_several_requests() -> None:
    """Requests sent together are all carried out; the first that failed is the error, and the socket stays usable."""

    def body() -> object:
        with Netlink() as netlink:
            netlink.add_bridge("br0")
            index = index_of("br0")
            try:
                netlink.send(set_link("none0", up=True), add_address(index, "10.1.1.1/24"), set_link("none1", up=True))
            except OSError as error:
                subject = error.filename
            netlink.set_link(index, up=True)
            return [
                subject,
                [route.destination for route in netlink.routes() if route.table == 254 and "." in route[0]],
            ]

    assert isolated(body) == ["none0", ["10.1.1.0/24"]]


def test_attributes_round_trip_and_refuse_what_does_not_fit() -> None:
    """What was written is read back; a value longer than the length field is refused, not cut (CVE-2021-43784)."""
    data = attribute(1, b"abc") + attribute(2, b"") + attribute(3, b"12345678")
    assert len(data) % 4 == 0
    assert attributes(data, 0) == {1: b"abc", 2: b"", 3: b"12345678"}
    assert attributes(b"\1\0\1\0", 0) == {}
    with pytest.raises(ValueError, match="65536"):
        attribute(1, bytes(65532))


def test_a_long_listing_is_complete() -> None:
    """A listing longer than one buffer of the kernel is read to its end."""

    def body() -> object:
        with Netlink() as netlink:
            netlink.add_bridge("br0")
            index = index_of("br0")
            netlink.set_link(index, up=True)
            for high in range(15):
                netlink.send(*(add_route(None, f"10.{high}.{low}.0/24", index) for low in range(100)))
            return len([route for route in netlink.routes() if route.ifindex == index and route.table == 254])

    assert isolated(body) in (1500, 1501)  # fe80::/64 comes by itself, in its own time
