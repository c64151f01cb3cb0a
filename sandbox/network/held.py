"""The bridges of an ordinary user's engine, in the network namespace that its holder keeps (`kernel.holding`).

They are root's, made by the same code, but elsewhere: nothing of them is seen on the host, and nothing of the host's is
touched. The way out of there is a program (`uplink`), which is started for the first network that has one; published
ports are forwarded by the containers' supervisors (`forwarding`). All of it is gone with the holder.
"""

from __future__ import annotations

import _socket  # the standard library's `socket` without its 3 ms of imports
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sandbox.kernel import holding
from sandbox.kernel.namespaces import in_network
from sandbox.kernel.netlink import Netlink
from sandbox.network import rules, uplink
from sandbox.network.address import Subnet, read_routes
from sandbox.network.bridges import Bridges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sandbox.kernel.netlink import Link
    from sandbox.network.bridges import Known
    from sandbox.network.records import Attachment, Network

T = TypeVar("T")
_ELSEWHERE = "192.0.2.1"  # nobody's (RFC 5737), by the default route


class HeldBridges(Bridges):
    """Of the engine whose networks lie in `root`, a folder of its home. The caller is in its holder's user namespace,
    if there is a holder.
    """

    def __init__(self, root: str, prefix: str, known: Callable[[], Known]) -> None:
        super().__init__(root, prefix, lambda: known()._replace(published=()))
        self._home = Path(root).parent

    @property
    def held(self) -> bool:
        """They are."""
        return True

    def host_address(self, network: Network) -> str:
        """As `Bridges.host_address`: the one by which the host reaches others, for the gateway is not the host's.
        A host that reaches nobody has none.
        """
        if network.internal:
            return network.gateway
        probe = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
        try:
            probe.connect((_ELSEWHERE, 9))  # which sends nothing
            return str(probe.getsockname()[0])
        except OSError:
            return network.gateway
        finally:
            probe.close()

    def lacking(self) -> str:
        """As `Bridges.lacking`: without, a container had better share the host's network."""
        missing = [] if uplink.find() else ["slirp4netns (and a /dev/net/tun open to all)"]
        missing += [] if rules.is_installed() else ["nftables"]
        return " and ".join(missing)

    def routes(self, *, without: str = "") -> tuple[Subnet, ...]:
        """The host's, which the way out leads to, and the way out's own."""
        return (*super().routes(without=without), *read_routes((uplink.SUBNET,)))

    def ensure(self, network: Network) -> Link:
        """As `Bridges.ensure`; for a network that is not internal with the way out."""
        pid = holding.hold(self._home)
        if not network.internal:
            self._lead_out(pid)
        return _inside(pid, functools.partial(super().ensure, network))

    def make(self, network: Network) -> None:
        """Nothing: there are no other engines in there, and perhaps no holder, before somebody connects."""

    def attach(self, attachment: Attachment, bridge: Link, namespace_fd: int) -> None:
        """As `Bridges.attach`."""
        _inside(holding.hold(self._home), functools.partial(super().attach, attachment, bridge, namespace_fd))

    def publish(self, attachment: Attachment) -> None:
        """Nothing: the host's ports are out of the reach of rules in there."""

    def unpublish(self, attachment: Attachment) -> None:
        """Nothing, likewise."""

    def detach(self, attachment: Attachment) -> None:
        """As `Bridges.detach`."""
        self._if_any(functools.partial(super().detach, attachment))

    def remove(self, network: Network) -> None:
        """As `Bridges.remove`."""
        self._if_any(functools.partial(super().remove, network))

    def tear_down(self) -> None:
        """As `Bridges.tear_down`."""
        self._if_any(super().tear_down)

    def reclaim(self, known: Iterable[str]) -> None:
        """As `Bridges.reclaim`."""
        self._if_any(functools.partial(super().reclaim, tuple(known)))

    def place(self) -> int:
        """As `Bridges.place`. Raises ConflictError."""
        return holding.network(holding.hold(self._home))

    def _if_any(self, action: Callable[[], None]) -> None:
        pid = holding.holder(self._home)
        if pid:
            _inside(pid, action)

    def _lead_out(self, pid: int) -> None:
        if _inside(pid, _is_connected):
            return
        with holding.alone(self._home):
            if _inside(pid, _is_connected):
                return
            network, lifeline = holding.network(pid), holding.lifeline(pid)
            try:
                uplink.start(uplink.find(), network, lifeline)
                _inside(pid, uplink.configure6)
            finally:
                os.close(network)
                os.close(lifeline)


def _inside(pid: int, function: Callable[[], T]) -> T:
    """What a function gives in the holder's network namespace."""
    network = holding.network(pid)
    try:
        return in_network(network, function)
    finally:
        os.close(network)


def _is_connected() -> bool:
    """Whether the way out is there; its interface goes with its program."""
    with Netlink() as netlink:
        link = netlink.link(uplink.INTERFACE)
        return link is not None and link.up
