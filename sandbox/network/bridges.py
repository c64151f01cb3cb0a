"""The host's side of networks in the kernel: bridges, forwarding and packet rules, made when first needed.

Called by `networks`. `ensure` is on the path of every container: one question each to rtnetlink and nfnetlink when all
is there. What is missing (after a reboot, a flushed firewall, a deleted bridge) is made again under the lock that all
engines of the host share. Bridges carry the engine's folder, and which root it is under, as their alias, by which those
of a folder that is gone are found.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from sandbox.errors import ConflictError, InvalidError, SandboxError, UnsupportedError
from sandbox.kernel import files, xtables
from sandbox.kernel.netlink import Netlink, add_address, index_of, set_link
from sandbox.network import address, rules
from sandbox.network.store import host_locked, read_text
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sandbox.kernel.netlink import Link
    from sandbox.network.records import Attachment, Network

_MAIN_TABLE = 254
_DEFAULT_MTU = 1500
_LARGEST_NAME = 15  # IFNAMSIZ less the NUL
_LARGEST_ALIAS = 255
_FORWARDING = "/proc/sys/net/ipv4/ip_forward"
_IPV6 = "/proc/sys/net/ipv6/conf"


class Known(NamedTuple):
    """What the engine's records say, for rules that are made anew."""

    networks: tuple[Network, ...]
    published: tuple[Attachment, ...]  # those with ports


class Bridges:
    """The bridges and the table of the engine whose networks lie in `root`; their names begin with `prefix`;
    `known` reads the engine's records.
    """

    def __init__(self, root: str, prefix: str, known: Callable[[], Known]) -> None:
        self._known = known
        self.root = root
        self._prefix = prefix
        self.table = prefix
        # Whose folder is not plain text cannot be told by the alias to be gone, and is never taken for it
        plain = root.isascii() and root.isprintable() and len(root) < _LARGEST_ALIAS - 48
        # An engine in a chroot or in a container with the host's network sees the bridges, and not the folders
        top = os.stat("/")  # noqa: PTH116
        self._place = f"{top.st_dev:x}-{top.st_ino:x}"
        self._owner = self._place + root if plain else "-"
        self._alias = f"hako {prefix} {self._owner}"
        self.notices: tuple[str, ...] = ()

    @property
    def held(self) -> bool:
        """Whether they are in a namespace beside the host's."""
        return False

    def host_address(self, network: Network) -> str:
        """The host, as containers of the network reach it."""
        return network.gateway

    def lacking(self) -> str:
        """What of the host's programs, devices or rights is missing, for networks with a way out; "" for nothing."""
        if not rules.is_installed():
            return "nftables"
        try:
            with Netlink() as netlink:
                _check_right(netlink, self.default_name())
        except PermissionError:
            return "CAP_NET_ADMIN"
        return ""

    def place(self) -> int:
        """A descriptor of the namespace in which containers are reached; -1 for our own."""
        return -1

    def default_name(self) -> str:
        """The bridge of the default network."""
        return f"{self._prefix}0"

    def bridge_name(self, taken: Iterable[str]) -> str:
        """A name for another bridge, other than those `taken`."""
        used = set(taken)
        while (name := f"{self._prefix}-{os.urandom(3).hex()}") in used:
            continue
        return name

    def veth_name(self, taken: Iterable[str]) -> str:
        """A name for the host's end of a veth pair, other than those `taken`. Random, for an old one may take time to
        go.
        """
        used = set(taken)
        room = _LARGEST_NAME - len(self._prefix) - 1
        while (name := f"{self._prefix}v{os.urandom(5).hex()[:room]}") in used:
            continue
        return name

    def routes(self, *, without: str = "") -> tuple[address.Subnet, ...]:
        """The places that the host's routes lead to, but for those over the bridge `without`."""
        with Netlink() as netlink:
            link = netlink.link(without) if without else None
            own = 0 if link is None else link.ifindex
            return address.read_routes(
                route.destination for route in netlink.routes(4) if route.ifindex != own or not own
            )

    def routes6(self) -> tuple[str, ...]:
        """The IPv6 subnets that the host's routes lead to, but for those that every link has."""
        with Netlink() as netlink:
            found = {route.destination for route in netlink.routes(6)}
        wide = (one for one in found if one != "default" and not one.startswith(("fe80:", "ff00:")))
        return tuple(one for one in wide if 16 <= int(one.partition("/")[2]) <= 96)

    def check_free(self, name: str) -> None:
        """Raise `InvalidError` for what cannot be a bridge's name, `ConflictError` for one that an interface has."""
        if not (0 < len(name) <= _LARGEST_NAME and name.isascii() and name.replace("-", "").replace("_", "").isalnum()):
            raise InvalidError(f"invalid name of a bridge: {name!r}", hint="up to 15 letters, digits, - and _")
        with Netlink() as netlink:
            if netlink.link(name) is not None:
                raise ConflictError(f"an interface {name} exists already", hint="choose another name for the bridge")

    def ensure(self, network: Network) -> Link:
        """The bridge of `network`, up, with address and rules.

        Raises `SandboxError` with what is missing on the host.
        """
        with Netlink() as netlink:
            link = netlink.link(network.bridge)
            if link is not None and link.up and link.alias == self._alias and rules.present(self.table):
                return link
            with _explained(network), host_locked():
                return self._make(netlink, network)

    def make(self, network: Network) -> None:
        """`ensure` for a new network, whose subnet the caller chose under the host's lock and still holds."""
        with Netlink() as netlink, _explained(network):
            self._make(netlink, network)

    def attach(self, attachment: Attachment, bridge: Link, namespace_fd: int) -> None:
        """Make the veth pair of `attachment`. Raises `OSError`; ENODEV when the bridge was removed meanwhile."""
        with Netlink() as netlink:
            netlink.add_veth(
                attachment.host_interface,
                attachment.interface,
                peer_namespace_fd=namespace_fd,
                master_index=bridge.ifindex,
                mtu=attachment.mtu or bridge.mtu,
                mac=attachment.mac,
            )
            if attachment.ports:  # which the container itself may use; with br_netfilter the bridge turns that around
                netlink.set_hairpin(attachment.host_interface)

    def detach(self, attachment: Attachment) -> None:
        """Take the veth pair of `attachment` away; one that is gone is fine."""
        if attachment.host_interface:
            with Netlink() as netlink, contextlib.suppress(PermissionError):
                _delete(netlink, attachment.host_interface)

    def publish(self, attachment: Attachment) -> None:
        """Have the host's ports of `attachment` lead to it, instead of to whomever they led to before."""
        with host_locked():
            try:
                rules.load(rules.port_script("add", self.table, rules.port_elements(attachment)))
            except UnsupportedError:  # a dead container's are in the way
                known = self._known()
                others = [one for one in known.published if one.container != attachment.container]
                rules.load(rules.render(self.table, known.networks, (*others, attachment), self._owner))
        _forget(attachment)

    def unpublish(self, attachment: Attachment) -> None:
        """Have them lead nowhere; one that leads to another container by now stays."""
        with host_locked():
            if not rules.present(self.table):
                return
            known = self._known()
            others = [one for one in known.published if one.container != attachment.container]
            taken = {key for one in others for key in rules.port_elements(one)}
            gone = {key: target for key, target in rules.port_elements(attachment).items() if key not in taken}
            try:
                rules.load(rules.port_script("delete", self.table, gone))
            except UnsupportedError:  # one is gone already
                rules.load(rules.render(self.table, known.networks, others, self._owner))
        _forget(attachment)

    def remove(self, network: Network) -> None:
        """Take the bridge and the network's rules away; what is gone already is fine. The caller holds the
        host's lock.
        """
        with Netlink() as netlink:
            link = netlink.link(network.bridge)
            if link is not None and link.alias == self._alias:
                _delete(netlink, network.bridge)
            if link is not None and rules.present(self.table):
                # Elements that somebody removed are no reason to fail
                with contextlib.suppress(UnsupportedError):
                    rules.load(rules.elements("delete", self.table, network))

    def tear_down(self) -> None:
        """Take all bridges and the table of this engine away. Records stay; the next container makes them again."""
        with host_locked(), Netlink() as netlink:
            if rules.present(self.table):
                rules.load(f"delete table inet {self.table}\n")
            for link in netlink.links():
                if link.alias == self._alias and link.kind == "bridge":
                    _delete(netlink, link.name)

    def reclaim(self, known: Iterable[str]) -> None:
        """Remove bridges of this engine that are not among `known`, and all of engines whose folder is gone."""
        names = set(known)
        with host_locked(), Netlink() as netlink:
            for link in netlink.links():
                mark, _, rest = link.alias.partition(" ")
                _, _, owner = rest.partition(" ")
                if mark != "hako" or link.kind != "bridge":
                    continue
                if link.alias == self._alias:
                    if link.name not in names:
                        _delete(netlink, link.name)
                elif self._is_gone(owner):
                    _delete(netlink, link.name)
            for table, owner in rules.tables().items():
                if self._is_gone(owner):
                    rules.load(f"delete table inet {table}\n")

    def _is_gone(self, owner: str) -> bool:
        """Whether an owner's folder would be seen from here, and is not there."""
        place, slash, rest = owner.partition("/")
        return bool(slash) and place == self._place and not os.path.isdir(f"/{rest}")  # noqa: PTH112

    def _make(self, netlink: Netlink, network: Network) -> Link:
        _check_right(netlink, network.bridge)
        link = netlink.link(network.bridge)
        if link is not None and link.alias not in ("", self._alias):
            raise ConflictError(
                f"the bridge {network.bridge} belongs to another engine ({link.alias})", hint="use another HAKO_HOME"
            )
        self._check_overlap(netlink, network)
        # Rules first: a bridge that is up is one whose rules have been set
        if link is None or not rules.present(self.table):
            self._load_rules(network)
        if link is None:
            mtu = network.mtu or uplink_mtu(netlink)
            mac = address.mac(address.parse(network.gateway))
            netlink.add_bridge(network.bridge, mtu=mtu, mac=mac, alias=self._alias)
        try:
            made = self._bring_up(netlink, network)
        except BaseException:
            if link is None:
                _delete(netlink, network.bridge)
            raise
        self._forward(network)
        return made

    def _bring_up(self, netlink: Netlink, network: Network) -> Link:
        # Neither does the host take router advertisements from containers (CVE-2020-13401)
        conf6 = f"/proc/sys/net/ipv6/conf/{network.bridge}"
        with contextlib.suppress(OSError):
            files.write(f"{conf6}/accept_ra", "0")
            files.write(f"{conf6}/disable_ipv6", "0" if network.subnet6 else "1")
        # For published ports at the host's loopback address; `rules` keeps containers from making use of it
        files.write(f"/proc/sys/net/ipv4/conf/{network.bridge}/route_localnet", "1")
        index = index_of(network.bridge)
        length = address.parse_subnet(network.subnet).length
        with contextlib.suppress(FileExistsError):
            netlink.send(add_address(index, f"{network.gateway}/{length}"))
        if network.subnet6:
            with contextlib.suppress(FileExistsError):
                netlink.send(add_address(index, f"{network.gateway6}/{network.subnet6.partition('/')[2]}"))
        netlink.send(set_link(index, up=True))
        link = netlink.link(network.bridge)
        if link is None:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), network.bridge)
        return link

    def _load_rules(self, network: Network) -> None:
        if rules.present(self.table):
            # Refused when an element of a network that is gone was left behind: then all is made anew
            with contextlib.suppress(UnsupportedError):
                rules.load(rules.elements("add", self.table, network))
                return
        known = self._known()
        everyone = {one.name: one for one in known.networks} | {network.name: network}
        rules.load(rules.render(self.table, everyone.values(), known.published, self._owner))

    def _check_overlap(self, netlink: Netlink, network: Network) -> None:
        """A subnet that was free once may have been taken since by somebody else's interface."""
        own = address.parse_subnet(network.subnet)
        bridge = netlink.link(network.bridge)
        for route in netlink.routes():
            if bridge is not None and route.ifindex == bridge.ifindex:
                continue
            for other in address.read_routes((route.destination,)):
                if other.overlaps(own):
                    raise ConflictError(
                        f"subnet {network.subnet} of network {network.name} is also the host's route to {other}",
                        hint=f"sandbox network rm {network.name} lets it be made again elsewhere; or remove the route",
                        reference="subnet-overlap",
                    )

    def _forward(self, network: Network) -> None:
        notices = _forward6() if network.subnet6 and not network.internal else []
        if (read_text(_FORWARDING) or "").strip() == "0":
            try:
                files.write(_FORWARDING, "1")
                notices.append(
                    "this host did not forward packets (net.ipv4.ip_forward); it does now, for networks need it"
                )
            except OSError as error:
                notices.append(f"containers reach the host only: net.ipv4.ip_forward cannot be set ({error.strerror})")
        if "drop" in (rules.forward_policy(), xtables.forward_policy()):
            chain = "DOCKER-USER" if rules.has_chain("DOCKER-USER") else "FORWARD"
            notices.append(
                f"the host's own firewall drops forwarded packets (iptables, policy of FORWARD), so containers do not "
                f"reach other hosts, nor are their published ports reached from there, until it lets them: "
                f"iptables -I {chain} -i {self._prefix}+ -j ACCEPT; iptables -I {chain} -o {self._prefix}+ -j ACCEPT"
            )
        self.notices = tuple(notices)


def _forget(attachment: Attachment) -> None:
    """Have clients of UDP ports that began before meet who is there now."""
    ports = {port.port for port in attachment.ports if port.protocol == "udp"}
    if ports:
        from sandbox.kernel import conntrack  # noqa: PLC0415  (few containers publish any)

        for port in ports:
            conntrack.forget_udp(port)


def _forward6() -> list[str]:
    """Have the host forward IPv6; notices. A host that forwards takes no routes from its routers any more, unless its
    interfaces are told to (accept_ra 2).
    """
    if (read_text(f"{_IPV6}/all/forwarding") or "").strip() != "0":
        return []
    try:
        for interface in os.listdir(_IPV6):  # noqa: PTH208
            if interface != "all" and (read_text(f"{_IPV6}/{interface}/accept_ra") or "").strip() == "1":
                files.write(f"{_IPV6}/{interface}/accept_ra", "2")
        files.write(f"{_IPV6}/all/forwarding", "1")
    except OSError as error:
        return [
            f"containers reach the host only by IPv6: net.ipv6.conf.all.forwarding cannot be set ({error.strerror})"
        ]
    return [
        "this host did not forward IPv6 packets; it does now, for a network needs it (accept_ra is 2 where it was 1)"
    ]


def uplink_mtu(netlink: Netlink) -> int:
    """The MTU of the interface that the host's default route leaves by, 1500 without one."""
    ways = [route for route in netlink.routes() if route.destination == "default" and route.table == _MAIN_TABLE]
    ways = [route for route in ways if ":" not in route.gateway and route.ifindex]
    if not ways:
        return _DEFAULT_MTU
    best = min(ways, key=lambda route: route.priority)
    for link in netlink.links():
        if link.ifindex == best.ifindex:
            return link.mtu
    return _DEFAULT_MTU


@contextlib.contextmanager
def _explained(network: Network) -> Iterator[None]:
    try:
        yield
    except PermissionError:
        raise SandboxError(
            f"no right to set up network {network.name}",
            hint="bridges need root; use --network host or none",
            reference="network-not-permitted",
        ) from None
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            raise UnsupportedError(
                f"the kernel cannot make the bridge {network.bridge}", hint="load its module: modprobe bridge"
            ) from None
        raise


def _check_right(netlink: Netlink, name: str) -> None:
    """Raise `PermissionError` where bridges may not be made; the kernel looks at the right before it looks for the
    link.
    """
    try:
        netlink.send(set_link(name))
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise


def _delete(netlink: Netlink, name: str) -> None:
    try:
        netlink.delete_link(name)
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
