"""Making networks: a free subnet, a name for the bridge, the record. And the default network, which makes itself.

Called by `networks`. A subnet is chosen under the lock that all engines of the host share, so that no two choose the
same; the bridge is made at once where the caller may, for its route keeps others away from the subnet. The default
network is nobody's choice: while nobody is in it, it moves to another subnet when a route of the host has come to lie
over its own (a VPN, another engine).
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from sandbox.errors import ConflictError, InvalidError, SandboxError
from sandbox.network import address
from sandbox.network.address import IPV6
from sandbox.network.predefined import DEFAULT, HOST, NONE
from sandbox.network.records import Network
from sandbox.network.reservations import nobody_in, open_reservations
from sandbox.network.store import host_locked
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sandbox.network.bridges import Bridges
    from sandbox.network.store import Store

_DEFAULT_LENGTH = 22  # as many addresses as a bridge of Linux has ports (1024)
_LENGTH = 24
_SMALLEST_MTU, _LARGEST_MTU = 68, 65535  # IPv4's minimum, and what a veth takes


class Wishes(NamedTuple):
    """What somebody asks of a new network; `None` leaves the choice to us."""

    subnet: str | None = None
    gateway: str | None = None
    ip_range: str | None = None
    ipv6: bool = False
    subnet6: str | None = None
    gateway6: str | None = None
    bridge: str | None = None
    options: Mapping[str, str] = {}
    internal: bool = False
    mtu: int | None = None
    labels: Mapping[str, str] = {}


def predefined(root: str, bridge: str) -> dict[str, Network]:
    """The records of the three networks that are there before anybody makes one, by name; the default one without a
    subnet, as it is before its first use. Ids follow from the folder `root`, so that they stay.
    """
    import hashlib  # noqa: PLC0415  (for lists, and when the default network is made)

    def record(name: str, driver: str) -> Network:
        identifier = hashlib.sha256(f"{root}\0{name}".encode("utf-8", "surrogateescape")).hexdigest()
        return Network(identifier, name, bridge if name == DEFAULT else "", "", "", driver=driver)

    return {DEFAULT: record(DEFAULT, "bridge"), HOST: record(HOST, "host"), NONE: record(NONE, "null")}


def make(store: Store, bridges: Bridges, name: str, wishes: Wishes) -> Network:
    """A new network. Raises `ConflictError` for a name that is taken or a subnet that overlaps, `InvalidError` for a
    malformed value.
    """
    mtu = wishes.mtu
    if mtu is not None and not _SMALLEST_MTU <= mtu <= _LARGEST_MTU:
        raise InvalidError(f"an MTU of {mtu} is not possible", hint=f"use {_SMALLEST_MTU} to {_LARGEST_MTU}")
    asked = None if wishes.subnet is None else address.parse_subnet(wishes.subnet)
    if wishes.bridge is not None:
        bridges.check_free(wishes.bridge)
    default = predefined(bridges.root, bridges.default_name())[name] if name == DEFAULT else None
    with store.locked(), host_locked():
        if store.find(name) is not None:
            raise ConflictError(f"network {name} exists already", hint="remove it first, or choose another name")
        present = store.all()
        used = _used(present, bridges)
        chosen = asked or address.free_subnet(used.values(), _LENGTH if default is None else _DEFAULT_LENGTH)
        for what, other in used.items():
            if chosen.overlaps(other):
                raise ConflictError(f"subnet {chosen} overlaps {what}", reference="subnet-overlap")
        door = chosen.address + 1 if wishes.gateway is None else address.parse(wishes.gateway)
        if not chosen.holds(door):
            raise InvalidError(f"gateway {wishes.gateway} is no address for a host in {chosen}")
        subnet6, gateway6 = _choose6(wishes, present, bridges)
        name_of_bridge = wishes.bridge or bridges.bridge_name(one.bridge for one in present)
        network = Network(
            id=os.urandom(32).hex() if default is None else default.id,
            name=name,
            bridge=name_of_bridge if default is None else default.bridge,
            subnet=str(chosen),
            gateway=address.text(door),
            internal=wishes.internal,
            mtu=mtu or 0,
            labels=wishes.labels,
            created=time.time(),
            ip_range=_check_range(wishes.ip_range, chosen),
            subnet6=subnet6,
            gateway6=gateway6,
            options=wishes.options,
        )
        # At once, where the caller may: a bridge that stands keeps other engines of the host from choosing its subnet
        try:
            bridges.make(network)
        except SandboxError as error:
            if error.reference != "network-not-permitted":
                raise
        store.add(network)
        return network


def _check_range(text: str | None, subnet: address.Subnet) -> str:
    if not text:
        return ""
    found = address.parse_subnet(text, longest=32)
    if found.length < subnet.length or not found.overlaps(subnet):
        raise InvalidError(f"the range {text} is not inside the subnet {subnet}", hint="give the subnet with --subnet")
    return str(found)


def _choose6(wishes: Wishes, present: Iterable[Network], bridges: Bridges) -> tuple[str, str]:
    """(subnet, gateway) of IPv6; both empty for a network without."""
    if not wishes.ipv6 and wishes.subnet6 is None:
        if wishes.gateway6 is not None:
            raise InvalidError(f"gateway {wishes.gateway6} needs an IPv6 subnet", hint="give it with --subnet")
        return "", ""
    from sandbox.network import address6  # noqa: PLC0415  (few networks have it)

    used = {f"network {one.name} ({one.subnet6})": one.subnet6 for one in present if one.subnet6}
    used |= {f"the host's route to {route}": route for route in bridges.routes6()}
    chosen = address.parse_subnet(wishes.subnet6, IPV6) if wishes.subnet6 else address6.local_subnet(os.urandom(7))
    for what, other in used.items():
        if chosen.overlaps(address.parse_subnet(other, IPV6)):
            raise ConflictError(f"subnet {chosen} overlaps {what}", reference="subnet-overlap")
    door = IPV6.parse(wishes.gateway6) if wishes.gateway6 else chosen.address + 1
    if not chosen.holds(door):
        raise InvalidError(f"gateway {wishes.gateway6} is no address for a host in {chosen}")
    return str(chosen), IPV6.text(door)


def settle_default(store: Store, bridges: Bridges) -> Network:
    """The default network, made where missing, and moved where nobody is in it and a route of the host lies over it.

    On the path of every start: without neighbours it costs one question to rtnetlink (0.15 ms), else none.
    """
    found = store.find(DEFAULT)
    if found is None:
        try:
            return make(store, bridges, DEFAULT, Wishes())
        except ConflictError:
            found = store.find(DEFAULT)  # another process was quicker
            if found is None:
                raise
    if nobody_in(store.folder(DEFAULT)) and _collides(bridges, found):
        return _move_default(store, bridges)
    return found


def _move_default(store: Store, bridges: Bridges) -> Network:
    with store.locked(), host_locked(), open_reservations(store.folder(DEFAULT), DEFAULT):
        found = store.get(DEFAULT)
        if not (nobody_in(store.folder(DEFAULT)) and _collides(bridges, found)):
            return found  # another process has moved it, or somebody came in
        others = [one for one in store.all() if one.name != DEFAULT]
        chosen = address.free_subnet(_used(others, bridges).values(), _DEFAULT_LENGTH)
        try:
            bridges.remove(found)
        except PermissionError:
            return found
        moved = found._replace(subnet=str(chosen), gateway=address.text(chosen.address + 1))
        store.replace(moved)
        return moved


def _collides(bridges: Bridges, network: Network) -> bool:
    own = address.parse_subnet(network.subnet)
    return any(route.overlaps(own) for route in bridges.routes(without=network.bridge))


def _used(networks: list[Network] | tuple[Network, ...], bridges: Bridges) -> dict[str, address.Subnet]:
    used = {f"network {one.name} ({one.subnet})": address.parse_subnet(one.subnet) for one in networks}
    return used | {f"the host's route to {route}": route for route in bridges.routes()}
