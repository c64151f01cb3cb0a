"""A container's own side of its networks: addresses and routes inside its namespace.

`configure` runs in the container's first process, in its network namespace and as its root, before the root is changed
and the command executed. It imports nothing while it runs (CVE-2019-14271), opens one netlink socket and sends one
message.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from sandbox.kernel import files
from sandbox.kernel.netlink import Netlink, add_address, add_route, index_of, set_link

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.kernel.netlink import Request
    from sandbox.network.records import Attachment

_LOOPBACK = 1  # the index of `lo` in every namespace

# What Docker allows in a container's own namespace: low ports and ping for users other than root
_SETTINGS = {"ipv4/ip_unprivileged_port_start": "0", "ipv4/ping_group_range": "0 65535"}


def begin(*, proc: str = "/proc") -> None:
    """Set up what every namespace has, `lo` and some settings; `proc` is a procfs that may be written."""
    with Netlink() as netlink:
        netlink.send(set_link(_LOOPBACK, up=True))
    _write_settings(proc)


def configure(attachments: Sequence[Attachment], *, begun: bool = False, proc: str = "/proc") -> None:
    """Set up the interfaces of `attachments`; none means `--network none`. The first with a gateway is the way out.
    What every namespace has comes first, unless it has `begun`.

    `proc` is a procfs that may be written. IPv6 is off on interfaces without such an address, and nobody on the
    bridge can hand out addresses or routes (CVE-2020-13401). Raises `OSError` with the interface or address.
    """
    requests = [] if begun else [set_link(_LOOPBACK, up=True)]
    way_out = False
    for attachment in attachments:
        if attachment.shared:
            continue
        requests += _requests(attachment, proc, way_out=bool(attachment.gateway) and not way_out)
        way_out = way_out or bool(attachment.gateway)
    if requests:
        with Netlink() as netlink:
            netlink.send(*requests)
    if not begun:
        _write_settings(proc)


def add(attachment: Attachment, *, way_out: bool, proc: str = "/proc") -> None:
    """Set up one more interface, while the container runs; with `way_out` the default route is by it."""
    with Netlink() as netlink:
        netlink.send(*_requests(attachment, proc, way_out=way_out))


def remove(interface: str, successor: Attachment | None) -> None:
    """Take an interface away; the default route, if it went with it, is by `successor` from now on."""
    with Netlink() as netlink:
        netlink.delete_link(interface)
        if successor is None or any(route.destination == "default" for route in netlink.routes(4)):
            return
        index = index_of(successor.interface)
        for gateway in (successor.gateway, successor.gateway6):
            if gateway:
                netlink.add_route(gateway, "default", index)


def _requests(attachment: Attachment, proc: str, *, way_out: bool) -> list[Request]:
    conf6 = f"{proc}/sys/net/ipv6/conf/{attachment.interface}"
    _write(f"{conf6}/accept_ra", "0")
    _write(f"{conf6}/disable_ipv6", "0" if attachment.address6 else "1")
    index = index_of(attachment.interface)
    found = [add_address(index, f"{attachment.address}/{attachment.length}")]
    if attachment.address6:
        found.append(add_address(index, f"{attachment.address6}/{attachment.length6}"))
    found.append(set_link(index, up=True))
    if way_out:
        found.append(add_route(attachment.gateway, "default", index))
        if attachment.gateway6:
            found.append(add_route(attachment.gateway6, "default", index))
    return found


def _write_settings(proc: str) -> None:
    for name, value in _SETTINGS.items():
        try:
            _write(f"{proc}/sys/net/{name}", value)
        except OSError:  # a convenience; an id that the user namespace does not map is refused
            continue


def _write(path: str, value: str) -> None:
    with suppress(FileNotFoundError):  # the kernel has no IPv6
        files.write(path, value)
