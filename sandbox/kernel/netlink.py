"""Network links, addresses and routes by rtnetlink, with messages of our own making.

Called by `sandbox/network`: on the host for bridges and veth pairs, inside a container's namespace for its interface. A
request is built by one of the module's functions and sent by `Netlink.send`, several at once in one system call where
that saves time; each is acknowledged, and a refusal becomes an `OSError` with the kernel's own words (extended
acknowledgement) and the name that the request was about. Sources: netlink(7), rtnetlink(7), linux/if_link.h,
linux/veth.h.
"""

from __future__ import annotations

import _socket  # the standard library's `socket` without its 3 ms of imports; plain blocking use needs nothing of them
import errno
import os
import struct
from typing import TYPE_CHECKING

from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

ROUTE = 0  # NETLINK_ROUTE
NETFILTER = 12  # NETLINK_NETFILTER

_SOL_NETLINK, _CAP_ACK, _EXT_ACK, _STRICT_CHECK = 270, 10, 11, 12
_ERROR, _DONE = 2, 3
_F_REQUEST, _F_ACK, _F_DUMP = 0x1, 0x4, 0x300
_F_INTERRUPTED, _F_ACK_ATTRIBUTES = 0x10, 0x200
_F_EXCLUSIVE_CREATE = 0x600
_NEWLINK, _DELLINK, _GETLINK, _SETLINK, _NEWADDR, _NEWROUTE, _GETROUTE = 16, 17, 18, 19, 20, 24, 26
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_IFALIAS = 1, 3, 4, 10, 18, 20
_IFLA_NET_NS_FD, _IFLA_EXT_MASK = 28, 29
_IFLA_PROTINFO, _IFLA_BRPORT_MODE, _F_NESTED = 12, 4, 0x8000
_INFO_KIND, _INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_SKIP_STATISTICS = struct.pack("=I", 8)  # RTEXT_FILTER_SKIP_STATS
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST = 1, 2, 4
_IFA_F_NODAD = 0x02
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_TABLE = 1, 4, 5, 6, 15
_TABLE_MAIN, _PROTOCOL_BOOT, _SCOPE_UNIVERSE, _SCOPE_LINK, _UNICAST = 254, 3, 0, 253, 1
_IFF_UP = 1
_AF_INET, _AF_BRIDGE, _AF_INET6 = 2, 7, 10
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11  # NFNL_MSG_BATCH_…
_BUFFER = 1 << 18  # bytes; the kernel fills at most 32 KiB per message of a dump
_HEADER = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_ATTRIBUTE = struct.Struct("=HH")
_LARGEST_NAME = 15  # IFNAMSIZ less the NUL


class Request(NamedTuple):
    """One message: its type, its flags, what follows the header, and what an error is to name."""

    kind: int
    flags: int
    body: bytes
    subject: str


class Link(NamedTuple):
    """A network interface. `master` is the index of the bridge it is a port of, 0 for none; `mac` is "" for one
    without.
    """

    ifindex: int
    name: str
    up: bool
    mtu: int
    mac: str
    master: int
    alias: str
    kind: str


class Route(NamedTuple):
    """A unicast route. `destination` is "10.0.0.0/8", or "default"; `ifindex` is the interface's, 0 for none."""

    destination: str
    gateway: str
    ifindex: int
    table: int
    priority: int


class Netlink:
    """One socket in the network namespace in which it was opened. Not for several threads at once."""

    def __init__(self, protocol: int = ROUTE) -> None:
        self._socket = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, protocol)
        for option in (_CAP_ACK, _EXT_ACK, _STRICT_CHECK):
            try:
                self._socket.setsockopt(_SOL_NETLINK, option, 1)
            except OSError:  # an older kernel answers with fewer words
                continue
        self._sequence = 0

    def __enter__(self) -> Netlink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def send(self, *requests: Request) -> None:
        """Have `requests` (a hundred at most, for their answers to fit the socket) carried out, in order, in one system
        call. Raises `OSError` for the first that failed; the others are carried out all the same.
        """
        messages = []
        subjects = {}
        for request in requests:
            self._sequence += 1
            subjects[self._sequence] = request.subject
            messages.append(self._message(request, _F_ACK))
        self._finish(messages, subjects)

    def transaction(self, *requests: Request) -> None:
        """Have `requests` of nfnetlink carried out, all or none. Raises `OSError` for the first that failed."""
        subsystem = struct.pack(">BBH", 0, 0, requests[0].kind >> 8)
        messages = [self._message(Request(_BATCH_BEGIN, 0, subsystem, ""), 0)]
        subjects = {}
        for request in requests:
            self._sequence += 1
            subjects[self._sequence] = request.subject
            messages.append(self._message(request, _F_ACK))
        self._sequence += 1
        messages.append(self._message(Request(_BATCH_END, 0, subsystem, ""), 0))
        self._finish(messages, subjects)

    def _finish(self, messages: list[bytes], subjects: dict[int, str]) -> None:
        """Send, and wait for the acknowledgements of `subjects`."""
        self._socket.send(b"".join(messages))
        failure: OSError | None = None
        while subjects:
            for kind, flags, sequence, payload in self._receive():
                if kind != _ERROR or sequence not in subjects:
                    continue
                subject = subjects.pop(sequence)
                code = -struct.unpack_from("=i", payload)[0]
                if code and failure is None:
                    failure = _failure(code, flags, payload, subject)
        if failure is not None:
            raise failure

    def get(self, request: Request) -> bytes | None:
        """The one answer to a question; `None` when the kernel knows no such thing (ENODEV, ENOENT)."""
        self._sequence += 1
        self._socket.send(self._message(request, 0))
        while True:
            for kind, flags, sequence, payload in self._receive():
                if sequence != self._sequence:
                    continue
                if kind != _ERROR:
                    return payload
                code = -struct.unpack_from("=i", payload)[0]
                if code in (errno.ENODEV, errno.ENOENT):
                    return None
                raise _failure(code, flags, payload, request.subject)

    def dump(self, request: Request) -> list[bytes]:
        """All answers to a question, asked again when things changed in the middle of the answer."""
        while True:
            self._sequence += 1
            self._socket.send(self._message(request, _F_DUMP))
            found: list[bytes] = []
            interrupted = done = False
            while not done:
                for kind, flags, sequence, payload in self._receive():
                    if sequence != self._sequence:
                        continue
                    interrupted = interrupted or bool(flags & _F_INTERRUPTED)
                    if kind in (_DONE, _ERROR):
                        code = -struct.unpack_from("=i", payload)[0] if len(payload) >= 4 else 0
                        if code:
                            raise _failure(code, flags, payload, request.subject)
                        done = True
                    else:
                        found.append(payload)
            if not interrupted:
                return found

    def _message(self, request: Request, flags: int) -> bytes:
        length = _HEADER.size + len(request.body)
        header = _HEADER.pack(length, request.kind, request.flags | flags | _F_REQUEST, self._sequence, 0)
        return header + request.body + bytes(-length % 4)

    def _receive(self) -> Iterator[tuple[int, int, int, bytes]]:
        data = self._socket.recv(_BUFFER)
        at = 0
        while at + _HEADER.size <= len(data):
            length, kind, flags, sequence, _ = _HEADER.unpack_from(data, at)
            yield kind, flags, sequence, data[at + _HEADER.size : at + length]
            at += (length + 3) & ~3

    def add_bridge(self, name: str, *, mtu: int = 0, mac: str = "", alias: str = "") -> None:
        """Make a bridge, down. `alias` is a free text that `ip link` shows and `Link.alias` gives back."""
        kind = attribute(_IFLA_LINKINFO, attribute(_INFO_KIND, b"bridge"))
        body = _LINK.pack(0, 0, 0, 0, 0) + _link_attributes(name, 0, mac) + kind
        self.send(Request(_NEWLINK, _F_EXCLUSIVE_CREATE, body, name))
        # The kernel takes an alias in a change only, and an MTU that was not set by a change does not stay: it follows
        # the ports, and is 1500 without any
        if alias or mtu:
            body = _LINK.pack(0, 0, 0, 0, 0) + _link_attributes(name, mtu, "")
            body += attribute(_IFLA_IFALIAS, alias.encode()[:255]) if alias else b""
            self.send(Request(_SETLINK, 0, body, name))

    def add_veth(
        self,
        name: str,
        peer_name: str,
        *,
        peer_namespace_fd: int | None = None,
        master_index: int = 0,
        mtu: int = 0,
        mac: str = "",
    ) -> None:
        """Make a veth pair in one message: `name` here, up and a port of the bridge `master_index`; `peer_name`, with
        address `mac`, in the network namespace behind the descriptor, down.
        """
        peer = _LINK.pack(0, 0, 0, 0, 0) + _link_attributes(peer_name, mtu, mac)
        if peer_namespace_fd is not None:
            peer += attribute(_IFLA_NET_NS_FD, struct.pack("=i", peer_namespace_fd))
        data = attribute(_INFO_DATA, attribute(_VETH_INFO_PEER, peer))
        body = _LINK.pack(0, 0, 0, _IFF_UP, _IFF_UP) + _link_attributes(name, mtu, "")
        if master_index:
            body += attribute(_IFLA_MASTER, struct.pack("=I", master_index))
        body += attribute(_IFLA_LINKINFO, attribute(_INFO_KIND, b"veth") + data)
        self.send(Request(_NEWLINK, _F_EXCLUSIVE_CREATE, body, name))

    def set_link(
        self,
        link: int | str,
        *,
        up: bool | None = None,
        mtu: int = 0,
        master: int | None = None,
        new_name: str = "",
        mac: str = "",
    ) -> None:
        """Change a link, given by index or name; `master` 0 takes it off its bridge."""
        self.send(set_link(link, up=up, mtu=mtu, master=master, new_name=new_name, mac=mac))

    def set_hairpin(self, name: str) -> None:
        """Let the bridge send packets back out of its port `name`, where they came in."""
        mode = attribute(_IFLA_PROTINFO | _F_NESTED, attribute(_IFLA_BRPORT_MODE, b"\1"))
        self.send(Request(_SETLINK, 0, _LINK.pack(_AF_BRIDGE, 0, index_of(name), 0, 0) + mode, name))

    def add_address(self, index: int, address: object) -> None:
        """Give the interface `address`, "10.88.0.2/22" or an `ipaddress` interface. EEXIST when it has it already."""
        self.send(add_address(index, address))

    def add_route(self, gateway: str | None, destination: str, index: int) -> None:
        """A route to `destination` ("default" or a network) by `gateway`, or directly on the link."""
        self.send(add_route(gateway, destination, index))

    def delete_link(self, name: str) -> None:
        """Remove a link. For a veth the kernel takes tens of milliseconds. Raises `OSError` with ENODEV if there is
        none.
        """
        self.send(Request(_DELLINK, 0, _LINK.pack(0, 0, 0, 0, 0) + _name(name), name))

    def link(self, name: str) -> Link | None:
        """The link called `name`."""
        body = _LINK.pack(0, 0, 0, 0, 0) + _name(name) + attribute(_IFLA_EXT_MASK, _SKIP_STATISTICS)
        answer = self.get(Request(_GETLINK, 0, body, name))
        return None if answer is None else _read_link(answer)

    def links(self) -> tuple[Link, ...]:
        """All links of the namespace."""
        body = _LINK.pack(0, 0, 0, 0, 0) + attribute(_IFLA_EXT_MASK, _SKIP_STATISTICS)
        return tuple(_read_link(answer) for answer in self.dump(Request(_GETLINK, 0, body, "links")))

    def routes(self, version: int = 0) -> tuple[Route, ...]:
        """All unicast routes of IPv4, IPv6 (`version` 4 or 6) or both, of every table."""
        found = []
        for family in {0: (_AF_INET, _AF_INET6), 4: (_AF_INET,), 6: (_AF_INET6,)}[version]:
            body = struct.pack("=BBBBBBBBI", family, 0, 0, 0, 0, 0, 0, 0, 0)
            for answer in self.dump(Request(_GETROUTE, 0, body, "routes")):
                if answer[7] == _UNICAST:
                    found.append(_read_route(answer))
        return tuple(found)


def set_link(
    link: int | str,
    *,
    up: bool | None = None,
    mtu: int = 0,
    master: int | None = None,
    new_name: str = "",
    mac: str = "",
) -> Request:
    """The request of `Netlink.set_link`."""
    index = link if isinstance(link, int) else 0
    body = _LINK.pack(0, 0, index, _IFF_UP if up else 0, 0 if up is None else _IFF_UP)
    body += _link_attributes(new_name if index else str(link), mtu, mac)
    if master is not None:
        body += attribute(_IFLA_MASTER, struct.pack("=I", master))
    return Request(_SETLINK, 0, body, str(link))


def add_address(index: int, address: object) -> Request:
    """The request of `Netlink.add_address`."""
    text, _, length = str(address).partition("/")
    family, packed = _parse(text)
    size = int(length or 8 * len(packed))
    flags = _IFA_F_NODAD if family == _AF_INET6 else 0
    body = struct.pack("=BBBBI", family, size, flags, _SCOPE_UNIVERSE, index)
    body += attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)
    if family == _AF_INET and size < 31:
        host_bits = (1 << (32 - size)) - 1
        body += attribute(_IFA_BROADCAST, (int.from_bytes(packed, "big") | host_bits).to_bytes(4, "big"))
    return Request(_NEWADDR, _F_EXCLUSIVE_CREATE, body, text)


def add_route(gateway: str | None, destination: str, index: int) -> Request:
    """The request of `Netlink.add_route`."""
    body = b""
    family, size = _AF_INET, 0
    if gateway:
        family, packed = _parse(gateway)
        body += attribute(_RTA_GATEWAY, packed)
    if destination != "default":
        text, _, length = destination.partition("/")
        family, packed = _parse(text)
        size = int(length or 8 * len(packed))
        body += attribute(_RTA_DST, packed)
    body += attribute(_RTA_OIF, struct.pack("=I", index))
    scope = _SCOPE_UNIVERSE if gateway else _SCOPE_LINK
    head = struct.pack("=BBBBBBBBI", family, size, 0, 0, _TABLE_MAIN, _PROTOCOL_BOOT, scope, _UNICAST, 0)
    return Request(_NEWROUTE, _F_EXCLUSIVE_CREATE, head + body, destination)


def index_of(name: str) -> int:
    """The index of the link `name` in the caller's network namespace. Raises `OSError` with ENODEV."""
    try:
        return _socket.if_nametoindex(name)
    except OSError:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), name) from None


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded to four bytes. Raises `ValueError` for one that its length field cannot hold
    (CVE-2021-43784).
    """
    length = _ATTRIBUTE.size + len(value)
    if length > 0xFFFF:
        raise ValueError(f"a netlink attribute of {length} bytes")
    return _ATTRIBUTE.pack(length, kind) + value + bytes(-length % 4)


def attributes(data: bytes, at: int) -> dict[int, bytes]:
    """The attributes in `data` from `at` on, by type without its flags."""
    found: dict[int, bytes] = {}
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            break
        found[kind & 0x3FFF] = data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
    return found


def _failure(code: int, flags: int, payload: bytes, subject: str) -> OSError:
    words = os.strerror(code)
    if flags & _F_ACK_ATTRIBUTES:
        text = attributes(payload, 4 + _HEADER.size).get(1, b"").rstrip(b"\0").decode("utf-8", "replace")
        if text:
            words += f": {text}"
    return OSError(code, words, subject)


def _name(name: str) -> bytes:
    encoded = name.encode()
    if not 0 < len(encoded) <= _LARGEST_NAME:
        raise OSError(errno.EINVAL, f"an interface's name has 1 to {_LARGEST_NAME} bytes", name)
    return attribute(_IFLA_IFNAME, encoded + b"\0")


def _link_attributes(name: str, mtu: int, mac: str) -> bytes:
    found = _name(name) if name else b""
    if mtu:
        found += attribute(_IFLA_MTU, struct.pack("=I", mtu))
    if mac:
        found += attribute(_IFLA_ADDRESS, bytes.fromhex(mac.replace(":", "")))
    return found


def _parse(text: str) -> tuple[int, bytes]:
    family = _AF_INET6 if ":" in text else _AF_INET
    try:
        return family, _socket.inet_pton(family, text)
    except OSError:
        raise OSError(errno.EINVAL, "not an IP address", text) from None


def _read_link(data: bytes) -> Link:
    _, _, index, flags, _ = _LINK.unpack_from(data)
    found = attributes(data, _LINK.size)
    info = attributes(found.get(_IFLA_LINKINFO, b""), 0)
    return Link(
        ifindex=index,
        name=_string(found.get(_IFLA_IFNAME, b"")),
        up=bool(flags & _IFF_UP),
        mtu=_integer(found.get(_IFLA_MTU)),
        mac=found.get(_IFLA_ADDRESS, b"").hex(":"),
        master=_integer(found.get(_IFLA_MASTER)),
        alias=_string(found.get(_IFLA_IFALIAS, b"")),
        kind=_string(info.get(_INFO_KIND, b"")),
    )


def _read_route(data: bytes) -> Route:
    family, size, table = data[0], data[1], data[4]
    found = attributes(data, 12)
    destination = "default"
    if size:
        packed = found.get(_RTA_DST, bytes(4 if family == _AF_INET else 16))
        destination = f"{_socket.inet_ntop(family, packed)}/{size}"
    gateway = found.get(_RTA_GATEWAY)
    return Route(
        destination=destination,
        gateway=_socket.inet_ntop(family, gateway) if gateway else "",
        ifindex=_integer(found.get(_RTA_OIF)),
        table=_integer(found.get(_RTA_TABLE)) or table,
        priority=_integer(found.get(_RTA_PRIORITY)),
    )


def _string(data: bytes) -> str:
    return data.rstrip(b"\0").decode("utf-8", "replace")


def _integer(data: bytes | None) -> int:
    value: int = struct.unpack_from("=I", data)[0] if data and len(data) >= 4 else 0
    return value
