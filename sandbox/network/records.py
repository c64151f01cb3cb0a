"""What is known of a network and of a container's place in it: the records on disk and at the package's seams."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Network(NamedTuple):
    """One network. `subnet` ("10.80.4.0/24") and `gateway` are text; `mtu` 0 means the uplink's; `created` is in epoch
    seconds.

    The bridge named `bridge` exists only while somebody has needed it since the host's start.
    """

    id: str
    name: str
    bridge: str
    subnet: str
    gateway: str
    internal: bool = False
    mtu: int = 0
    labels: Mapping[str, str] = MappingProxyType({})
    created: float = 0.0
    ip_range: str = ""  # the part of the subnet that addresses are given from; all of it by default
    subnet6: str = ""  # empty without IPv6
    gateway6: str = ""
    options: Mapping[str, str] = MappingProxyType({})  # as they were given
    driver: str = "bridge"  # host and null are the predefined networks that have no bridge

    def to_json(self) -> str:
        """The text of `network.json`."""
        return json.dumps(self._asdict() | {"labels": dict(self.labels), "options": dict(self.options)})

    @classmethod
    def from_json(cls, text: str) -> Network:
        """Read back; fields of a later version are ignored. Raises `ValueError`."""
        return cls(**_known(text, cls._fields))


class PortRequest(NamedTuple):
    """A port that somebody wants published: `container`, the port inside, at one of the host's ports `first` to `last`
    (0: any that is free), on the host's address `address` (empty: on all).
    """

    container: int
    protocol: str = "tcp"
    address: str = ""
    first: int = 0
    last: int = 0


class Published(NamedTuple):
    """A port of the host, `port` at `address` (empty: all IPv4 ones; "::": all IPv6 ones), that leads to the port
    `container`.
    """

    protocol: str
    address: str
    port: int
    container: int


class Attachment(NamedTuple):
    """One container's place in one network.

    `address` is an IPv4 address as text, `length` its prefix length. `interface` is the name inside the container,
    `host_interface` of the other end; both are empty for a container that shares the host's network and is here for its
    name only, with the address 127.0.0.1. `gateway` is empty where no way leads out. `names` are what peers find it by,
    the first is the canonical one; `hosts_path` is the file on the host that the container sees as /etc/hosts, empty
    for none. `ports` are the host's ports that lead here.
    """

    network: str
    container: str
    address: str
    length: int = 32
    interface: str = ""
    host_interface: str = ""
    bridge: str = ""
    gateway: str = ""
    mac: str = ""
    mtu: int = 0
    names: tuple[str, ...] = ()
    hosts_path: str = ""
    ports: tuple[Published, ...] = ()
    address6: str = ""
    length6: int = 0
    gateway6: str = ""

    @property
    def shared(self) -> bool:
        """Whether the container has no interface of its own in the network."""
        return not self.interface

    def to_data(self) -> dict[str, Any]:
        """What JSON can carry, for whoever keeps attachments in files of their own."""
        return self._asdict()

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Attachment:
        """Read back; fields of a later version are ignored."""
        known = {name: data[name] for name in cls._fields if name in data}
        ports = tuple(Published(*port) for port in known.get("ports", ()))
        return cls(**{**known, "names": tuple(known.get("names", ())), "ports": ports})

    def to_json(self) -> str:
        """The text of a reservation file."""
        return json.dumps(self.to_data())

    @classmethod
    def from_json(cls, text: str) -> Attachment:
        """Read back; fields of a later version are ignored. Raises `ValueError`."""
        return cls.from_data(_known(text, cls._fields))


def _known(text: str, fields: tuple[str, ...]) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return {name: value[name] for name in fields if name in value}
