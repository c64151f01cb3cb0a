"""Addresses and subnets of both families as numbers, and the choice of a free IPv4 subnet.

Pure. The standard library's `ipaddress` would cost 2 ms of every start for the few operations needed here. Records
carry addresses as text. What IPv6 alone needs is in `address6`.
"""

from __future__ import annotations

import _socket  # the standard library's `socket` without its 3 ms of imports; only text conversion is needed
from typing import TYPE_CHECKING

from sandbox.errors import InvalidError, SandboxError
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_EVERYTHING = 8  # routes shorter than this are somebody's way to "all the rest" (0.0.0.0/1 of a VPN), not a place


class Family(NamedTuple):
    """IPv4 or IPv6. `shortest` and `longest` are the prefix lengths that a network may have, `kept` counts the
    addresses at a subnet's end that nobody may have, `example` is a subnet for people.
    """

    number: int
    name: str
    bits: int
    shortest: int
    longest: int
    kept: int
    example: str

    def parse(self, value: str) -> int:
        """The number of an address such as "10.80.0.1". Raises `InvalidError`."""
        try:
            return int.from_bytes(_socket.inet_pton(self.number, value), "big")
        except (OSError, ValueError):
            raise InvalidError(f"not an {self.name} address: {value!r}") from None

    def text(self, address: int) -> str:
        """The address of its number."""
        return _socket.inet_ntop(self.number, address.to_bytes(self.bits // 8, "big"))


# Room for the gateway and five containers at least; the last address is for broadcasts
IPV4 = Family(_socket.AF_INET, "IPv4", 32, 8, 29, 1, "10.90.0.0/24")
IPV6 = Family(_socket.AF_INET6, "IPv6", 128, 16, 96, 0, "fd00:1:2:3::/64")  # 2^32 addresses at least


class Subnet(NamedTuple):
    """A range of addresses; `address` is its first one as a number."""

    address: int
    length: int
    family: Family = IPV4

    @property
    def size(self) -> int:
        """How many addresses it has, the first and the last included."""
        return 1 << (self.family.bits - self.length)

    def overlaps(self, other: Subnet) -> bool:
        """Whether the two, of one family, share an address."""
        shift = self.family.bits - min(self.length, other.length)
        return self.address >> shift == other.address >> shift

    def holds(self, address: int) -> bool:
        """Whether a container or gateway may have `address`: inside, and not the first, which is the network's own or
        all routers', nor IPv4's last.
        """
        return 0 < address - self.address < self.size - self.family.kept

    def __str__(self) -> str:
        return f"{self.family.text(self.address)}/{self.length}"


# Where subnets are taken from, the first pool first: beside podman's 10.88/16 to 10.255/16 and docker's 172.17/16 to
# 172.31/16 and 192.168/16, so that no engine takes a subnet which another one's configuration claims. The last serves
# hosts whose routes take the others, as a company's 10.0.0.0/8 and 172.16.0.0/12; docker comes to its half of it late.
POOLS = (
    Subnet(0x0A50_0000, 13),
    Subnet(0xAC10_0000, 16),
    Subnet(0xC0A8_8000, 17),
)  # 10.80/13, 172.16/16, 192.168.128/17


parse, text = IPV4.parse, IPV4.text


def parse_subnet(value: str, family: Family = IPV4, *, longest: int = 0) -> Subnet:
    """The subnet "10.80.4.0/24", not longer than `longest` if that is given. Raises `InvalidError`, also for bits
    beyond the prefix and for sizes nobody can use.
    """
    head, slash, tail = value.partition("/")
    if not slash or not tail.isascii() or not tail.isdigit():
        raise InvalidError(f"not a subnet: {value!r}", hint=f"write it as {family.example}")
    found = Subnet(family.parse(head), int(tail), family)
    longest = longest or family.longest
    if not family.shortest <= found.length <= longest:
        raise InvalidError(
            f"subnet {value} has an unusable size", hint=f"use a prefix from /{family.shortest} to /{longest}"
        )
    below = found.address & (found.size - 1)
    if below:
        whole = found._replace(address=found.address - below)
        raise InvalidError(f"{value} is an address inside a subnet", hint=f"the subnet is {whole}")
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
        for address in range(pool.address, pool.address + pool.size, Subnet(0, length).size):
            candidate = Subnet(address, length)
            if not any(candidate.overlaps(other) for other in near):
                return candidate
    raise SandboxError("no free subnet is left for a network", hint="remove unused networks, or give one with --subnet")


def mac(address: int) -> str:
    """A locally administered address that follows from the IP address, so that neighbours' caches stay right (as
    Docker's).
    """
    return (b"\x02\x42" + address.to_bytes(4, "big")).hex(":")
