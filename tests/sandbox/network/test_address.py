"""Addresses and subnets: parsing, overlap, and the choice of a free one."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import InvalidError, SandboxError
from sandbox.network import address
from sandbox.network.address import POOLS, Subnet, free_subnet, parse_subnet, read_routes

NUMBERS = st.integers(0, 2**32 - 1)


@given(NUMBERS)
def test_text_and_back(number: int) -> None:
    """Every address survives being written and read, as the standard library writes it."""
    assert address.text(number) == str(ipaddress.IPv4Address(number))
    assert address.parse(address.text(number)) == number


@pytest.mark.parametrize("value", ["", "10.1", "10.0.0.256", "10.0.0.01x", "::1", "1.2.3.4/8", "a.b.c.d", "10.0.0.1\0"])
def test_what_is_no_address(value: str) -> None:
    """Short forms, other families and noise are refused, with the value in the message."""
    with pytest.raises(InvalidError, match="not an IPv4 address"):
        address.parse(value)


@given(NUMBERS, st.integers(8, 29), NUMBERS, st.integers(8, 29))
def test_overlap_is_the_standard_librarys(first: int, length: int, second: int, other: int) -> None:
    """Two subnets overlap exactly when the standard library says so."""
    one = Subnet(first >> 32 - length << 32 - length, length)
    two = Subnet(second >> 32 - other << 32 - other, other)
    assert one.overlaps(two) == ipaddress.ip_network(str(one)).overlaps(ipaddress.ip_network(str(two)))
    assert parse_subnet(str(one)) == one


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("10.0.0.0", "not a subnet"),
        ("10.0.0.0/x", "not a subnet"),
        ("10.0.0.0/33", "unusable size"),
        ("10.0.0.0/30", "unusable size"),
        ("10.0.0.5/24", "10.0.0.0/24"),
        ("fd00::/64", "not an IPv4 address"),
    ],
)
def test_what_is_no_subnet(value: str, message: str) -> None:
    """Malformed and unusable subnets are refused; for an address inside one the subnet is named."""
    with pytest.raises(InvalidError, match=message):
        parse_subnet(value)


def test_free_subnets_are_distinct_and_avoid_what_is_used() -> None:
    """Subnets come from the pool one after the other, around what routes and networks take."""
    used = list(read_routes(["default", "0.0.0.0/1", "10.80.0.0/23", "10.80.3.0/24", "192.168.1.0/24", "fd00::/64"]))
    chosen: list[Subnet] = []
    for _ in range(5):
        chosen.append(free_subnet([*used, *chosen], 24))
    assert [str(subnet) for subnet in chosen] == [f"10.80.{third}.0/24" for third in (2, 4, 5, 6, 7)]
    assert str(free_subnet(used, 22)) == "10.80.4.0/22"


def test_a_host_that_routes_all_of_the_first_pool_gets_another() -> None:
    """A company network with 10.0.0.0/8 leaves the other pools; when all are taken the error says what to do."""
    assert str(free_subnet(read_routes(["10.0.0.0/8"]), 24)) == "172.16.0.0/24"
    with pytest.raises(SandboxError, match="--subnet"):
        free_subnet(POOLS, 24)


def test_a_mac_follows_from_the_address() -> None:
    """Locally administered, unicast, and the same whenever the address is given again."""
    assert address.mac(address.parse("10.80.0.2")) == "02:42:0a:50:00:02"


def test_who_may_have_an_address() -> None:
    """Neither the network's own address nor the broadcast address is anybody's."""
    subnet = parse_subnet("10.1.0.0/29")
    assert [
        number - subnet.address for number in range(subnet.address - 1, subnet.address + 9) if subnet.holds(number)
    ] == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]
