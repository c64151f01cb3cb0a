"""What networks with IPv6 need beside `address`: a subnet nobody else has, and a container's place in it. Pure.

A container's address follows from its IPv4 one: the same place, counted from the beginning, in the IPv6 subnet. So
there is one allocation for both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.network.address import IPV6, Subnet

if TYPE_CHECKING:
    from collections.abc import Container

_BEYOND_IPV4 = 1 << 32


def local_subnet(random: bytes) -> Subnet:
    """A subnet of the addresses that everybody may take (RFC 4193), with 56 random bits (7 bytes)."""
    return Subnet(int.from_bytes(b"\xfd" + random[:7], "big") << 64, 64, IPV6)


def choose(subnet: Subnet, offset: int, taken: Container[int]) -> int:
    """The address at `offset` (of the container's IPv4 address in its subnet), or the next beyond the reach of IPv4
    where somebody has asked for and got that one.
    """
    address = subnet.address + offset
    while address in taken:
        address += _BEYOND_IPV4
    return address
