"""IPv4 addresses and subnets as numbers, and the choice of a free subnet.

Pure. The standard library's `ipaddress` would cost 2 ms of every start for the few operations needed here. Records
carry addresses as text, so that IPv6 has a place in them when it comes.
"""

from __future__ import annotations

import _socket  # the standard library's `socket` without its 3 ms of imports; only text conversion is needed
from typing import TYPE_CHECKING, NamedTuple

from sandbox.errors import InvalidError, SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterable

_BITS = 32
_SHORTEST, _LONGEST = 8, 29  # prefix lengths of a network: room for the gateway and five containers at least
_EVERYTHING = 8  # routes shorter than this are somebody's way to "all the rest" (0.0.0.0/1 of a VPN), not a place


class Subnet(NamedTuple):
    """A range of addresses; `address` is its first one as a number."""

    address: int
    length: int

    @property
    def size(self) -> int:
        """How many addresses it has, the network's own and the broadcast address included."""
        return 1 << (_BITS - self.length)

    def overlaps(self, other: Subnet) -> bool:
        """Whether the two share an address."""
        shift = _BITS - min(self.length, other.length)
        return self.address >> shift == other.address >> shift

    def holds(self, address: int) -> bool:
        """Whether a container or gateway may have `address`: inside, and neither the first nor the last."""
        return 0 < address - self.address < self.size - 1

    def __str__(self) -> str:
        return f"{text(self.address)}/{self.length}"


# Where subnets are taken from, the first pool first: beside podman's 10.88/16 to 10.255/16 and docker's 172.17/16 to
# 172.31/16 and 192.168/16, so that no engine takes a subnet which another one's configuration claims. The last serves
# hosts whose routes take the others, as a company's 10.0.0.0/8 and 172.16.0.0/12; docker comes to its half of it late.
POOLS = (
    Subnet(0x0A50_0000, 13),
    Subnet(0xAC10_0000, 16),
    Subnet(0xC0A8_8000, 17),
)  # 10.80/13, 172.16/16, 192.168.128/17


def parse(value: str) -> int:
    """The number of "10.80.0.1". Raises `InvalidError`."""
    try:
        return int.from_bytes(_socket.inet_pton(_socket.AF_INET, value), "big")
    except (OSError, ValueError):
        raise InvalidError(f"not an IPv4 address: {value!r}") from None


def text(address: int) -> str:
    """ "10.80.0.1" of its number."""
    return ".".join(str(address >> shift & 0xFF) for shift in (24, 16, 8, 0))


def parse_subnet(value: str, *, longest: int = _LONGEST) -> Subnet:
    """The subnet "10.80.4.0/24". Raises `InvalidError`, also for bits beyond the prefix and for sizes nobody
    can use.
    """
    head, slash, tail = value.partition("/")
    if not slash or not tail.isascii() or not tail.isdigit():
        raise InvalidError(f"not a subnet: {value!r}", hint="write it as 10.90.0.0/24")
    address, length = parse(head), int(tail)
    if not _SHORTEST <= length <= longest:
        raise InvalidError(f"subnet {value} has an unusable size", hint=f"use a prefix from /{_SHORTEST} to /{longest}")
    found = Subnet(address, length)
    below = address & (found.size - 1)
    if below:
        raise InvalidError(
            f"{value} is an address inside a subnet", hint=f"the subnet is {Subnet(address - below, length)}"
        )
    return found


def read_routes(destinations: Iterable[str]) -> tuple[Subnet, ...]:
    """The IPv4 places that routes lead to; defaults and IPv6 are left out."""
    found = []
    for destination in destinations:
        head, slash, tail = destination.partition("/")
        if slash and ":" not in head and int(tail) >= _EVERYTHING:
            found.append(Subnet(parse(head), int(tail)))
    return tuple(found)


def free_subnet(used: Iterable[Subnet], length: int) -> Subnet:
    """The first subnet of the pools that overlaps none of `used`. Raises `SandboxError` when all are taken."""
    taken = tuple(used)
    for pool in POOLS:
        near = [other for other in taken if other.overlaps(pool)]
        for address in range(pool.address, pool.address + pool.size, 1 << (_BITS - length)):
            candidate = Subnet(address, length)
            if not any(candidate.overlaps(other) for other in near):
                return candidate
    raise SandboxError("no free subnet is left for a network", hint="remove unused networks, or give one with --subnet")


def mac(address: int) -> str:
    """A locally administered address that follows from the IP address, so that neighbours' caches stay right (as
    Docker's).
    """
    return (b"\x02\x42" + address.to_bytes(4, "big")).hex(":")
