"""Making the kernel forget connections that it tracks.

Called by `sandbox/network` when a published UDP port begins or ceases to lead to a container. A client that goes on
sending from the same port is one connection to the kernel, which would be translated as it was at its beginning: not at
all, or to an address that is somebody else's by now. Source: linux/netfilter/nfnetlink_conntrack.h.
"""

from __future__ import annotations

import contextlib
import struct

from sandbox.kernel.netlink import NETFILTER, Netlink, Request, attribute, attributes

_GET, _DELETE = 1 << 8 | 1, 1 << 8 | 2  # NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_…
_ORIGINAL, _ID, _FILTER = 1, 12, 25  # CTA_…
_PROTOCOL, _NUMBER, _DESTINATION_PORT = 2, 1, 3
_FILTER_ORIGINAL, _BY_NUMBER, _BY_PORT = 1, 1 << 3, 1 << 5
_NESTED = 0x8000
_FAMILIES = (2, 10)
_UDP = 17


def forget_udp(port: int) -> int:
    """Forget connections to a UDP port of this host, in the caller's network namespace; how many there were.

    Nothing happens on a kernel that tracks none, or cannot select them (before 5.8).
    """
    count = 0
    with contextlib.suppress(OSError), Netlink(NETFILTER) as netlink:
        for family in _FAMILIES:
            head = struct.pack("=BBH", family, 0, 0)
            for answer in netlink.dump(Request(_GET, 0, head + _selection(port), "connections")):
                fields = attributes(answer, 4)
                if not _is_to(fields.get(_ORIGINAL, b""), port):
                    continue
                body = head + attribute(_ORIGINAL | _NESTED, fields[_ORIGINAL]) + attribute(_ID, fields.get(_ID, b""))
                with contextlib.suppress(FileNotFoundError):  # it has just ended
                    netlink.send(Request(_DELETE, 0, body, "connection"))
                    count += 1
    return count


def _selection(port: int) -> bytes:
    protocol = attribute(_NUMBER, bytes((_UDP,))) + attribute(_DESTINATION_PORT, struct.pack(">H", port))
    flags = struct.pack("=I", _BY_NUMBER | _BY_PORT)
    return attribute(_ORIGINAL | _NESTED, attribute(_PROTOCOL | _NESTED, protocol)) + attribute(
        _FILTER | _NESTED, attribute(_FILTER_ORIGINAL, flags)
    )


def _is_to(tuple_: bytes, port: int) -> bool:
    protocol = attributes(attributes(tuple_, 0).get(_PROTOCOL, b""), 0)
    return protocol.get(_NUMBER) == bytes((_UDP,)) and protocol.get(_DESTINATION_PORT) == struct.pack(">H", port)
