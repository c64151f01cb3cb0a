"""IPv6 subnets and addresses, for networks that have them. Pure but for the random prefix that a caller passes in.

A container's address follows from its IPv4 one: the same place, counted from the beginning, in the IPv6 subnet. So
there is one allocation for both.
"""

from __future__ import annotations

import _socket
from typing import TYPE_CHECKING, NamedTuple

from sandbox.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterable

_BITS = 128
_SHORTEST, _LONGEST = 16, 96  # prefix lengths of a network: 2^32 addresses at least
_BEYOND_IPV4 = 1 << 32


class Subnet6(NamedTuple):
    """A range of addresses; `address` is its first one as a number."""

    address: int
    length: int

    def holds(self, address: int) -> bool:
        """Whether a container or gateway may have `address`; the first is the routers' anycast address."""
        return 0 < address - self.address < 1 << (_BITS - self.length)

    def overlaps(self, other: Subnet6) -> bool:
        """Whether the two share an address."""
        shift = _BITS - min(self.length, other.length)
        return self.address >> shift == other.address >> shift

    def __str__(self) -> str:
        return f"{text(self.address)}/{self.length}"


def parse(value: str) -> int:
    """The number of "fd00::1". Raises `InvalidError`."""
    try:
        return int.from_bytes(_socket.inet_pton(_socket.AF_INET6, value), "big")
    except (OSError, ValueError):
        raise InvalidError(f"not an IPv6 address: {value!r}") from None


def text(address: int) -> str:
    """ "fd00::1" of its number."""
    return _socket.inet_ntop(_socket.AF_INET6, address.to_bytes(16, "big"))


def parse_subnet(value: str) -> Subnet6:
    """The subnet "fd00:1::/64". Raises `InvalidError`."""
    head, slash, tail = value.partition("/")
    if not slash or not tail.isascii() or not tail.isdigit():
        raise InvalidError(f"not a subnet: {value!r}", hint="write it as fd00:1:2:3::/64")
    address, length = parse(head), int(tail)
    if not _SHORTEST <= length <= _LONGEST:
        raise InvalidError(
            f"subnet {value} has an unusable size", hint=f"use a prefix from /{_SHORTEST} to /{_LONGEST}"
        )
    below = address & ((1 << (_BITS - length)) - 1)
    if below:
        raise InvalidError(
            f"{value} is an address inside a subnet", hint=f"the subnet is {Subnet6(address - below, length)}"
        )
    return Subnet6(address, length)


def local_subnet(random: bytes) -> Subnet6:
    """A subnet of the addresses that everybody may take (RFC 4193), with 56 random bits (7 bytes)."""
    return Subnet6(int.from_bytes(b"\xfd" + random[:7], "big") << 64, 64)


def choose(subnet: Subnet6, offset: int, taken: Iterable[int]) -> int:
    """The address at `offset` (of the container's IPv4 address in its subnet), or the next beyond the reach of IPv4
    where somebody has asked for and got that one.
    """
    used = set(taken)
    address = subnet.address + offset
    while address in used:
        address += _BEYOND_IPV4
    return address
