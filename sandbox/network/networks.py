"""Networks of containers: made, joined, left and removed. The door of the package.

Called by the runtime, the CLI, the runners and the Remote API; any number of processes work on one folder at once.
Making a network and reserving an address are work on files; the kernel is touched when a container is connected. The
default network is called `bridge` and exists from its first use on.

An ordinary user's bridges are in a namespace of his own (`held`). Where there is no way out of such (`usable`),
`reserve_host` gives the containers of a network, which then share the host's, their names.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import zlib
from typing import TYPE_CHECKING, Any

from sandbox.errors import ConflictError, InvalidError, NotFoundError, SandboxError
from sandbox.kernel.namespaces import in_network, owns_network
from sandbox.network import address, names
from sandbox.network.bridges import Bridges, Known
from sandbox.network.making import Wishes, make, predefined, settle_default
from sandbox.network.peers import entry, tell
from sandbox.network.predefined import DEFAULT, PREDEFINED
from sandbox.network.records import Attachment, Network
from sandbox.network.reservations import by_address, open_reservations, read_all, with_ipv6
from sandbox.network.store import Store, check_name, host_locked

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from sandbox.network.records import Published
    from sandbox.network.reservations import Reservations

_STANDARD_ROOT = "/var/lib/hako/networks"
_LONGEST_PREFIX = 8  # bytes, leaving room for a suffix in an interface's 15


class Networks:
    """The networks kept in `root` ($HAKO_HOME/networks).

    Interfaces and the nftables table are named after `prefix`: "hako" for the standard folder, else one that follows
    from the folder, so that engines with different homes on one host do not meet. `notices` holds, after `connect` or
    `create`, what was changed on the host or what of it stands in the way, a sentence each.
    """

    def __init__(
        self, root: Path, *, prefix: str = "", notify: Callable[[str, str, Mapping[str, str]], None] | None = None
    ) -> None:
        self._notify = notify or (
            lambda *_: None
        )  # told docker's word for what happens to a network, its id, attributes
        real = os.path.realpath(root)
        if not prefix:
            prefix = "hako" if real == _STANDARD_ROOT else f"hk{zlib.crc32(os.fsencode(real)) & 0xFF_FFFF:06x}"
        if len(prefix) > _LONGEST_PREFIX or not (prefix.isascii() and prefix.isalnum()):
            raise InvalidError(f"invalid prefix of interfaces: {prefix!r}", hint="use up to 8 letters and digits")
        self._store = Store(root)
        self._bridges = _bridges(real, prefix, self._known)

    @property
    def notices(self) -> tuple[str, ...]:
        """See the class."""
        return self._bridges.notices

    @property
    def held(self) -> bool:
        """Whether containers are in a namespace beside the host's, where none of their ports is published by rules."""
        return self._bridges.held

    def host_address(self, network: str) -> str:
        """The host, as containers of the network reach it."""
        return self._bridges.host_address(self.get(network))

    def lacking(self) -> str:
        """What the host lacks for networks with a way out, "" for nothing. See `held`."""
        return self._bridges.lacking()

    def tcp_socket(self, family: int) -> socket.socket:
        """A non-blocking TCP socket from where containers are reached by their addresses. Raises OSError."""
        import socket  # noqa: PLC0415  (3 ms, and for runners alone)

        make = functools.partial(socket.socket, family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            place = self.place()
        except SandboxError as error:
            raise OSError(errno.ENETDOWN, error.message) from error
        if place < 0:
            return make()
        try:
            return in_network(place, make)
        finally:
            os.close(place)

    def place(self) -> int:
        """A descriptor of the network namespace in which containers are reached; -1 for our own."""
        return self._bridges.place()

    def create(
        self,
        name: str,
        *,
        subnet: str | None = None,
        gateway: str | None = None,
        internal: bool = False,
        mtu: int | None = None,
        labels: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        **further: Any,
    ) -> Network:
        """Make a network. `subnet` is chosen so that no route of the host overlaps it, `gateway` is its first address
        by default; `further` are other fields of `making.Wishes`.

        Raises `ConflictError` for a name that is taken or a subnet that overlaps, `InvalidError` for a malformed value.
        """
        check_name(name)
        if name in PREDEFINED:
            raise ConflictError(f"network {name} is predefined", hint="choose another name")
        wishes = Wishes(subnet=subnet, gateway=gateway, internal=internal, mtu=mtu, labels=dict(labels), **further)
        made = make(self._store, self._bridges, name, wishes)
        self._notify("create", made.id, {"name": name, "type": made.driver})
        return made

    def ensure_default(self) -> Network:
        """The network `bridge`, on a subnet that is free now."""
        return settle_default(self._store, self._bridges)

    def get(self, name: str) -> Network:
        """The network `name`, or the one whose id begins so. Raises `NotFoundError`."""
        if name == DEFAULT:
            return self.ensure_default()
        check_name(name)
        found = self._store.find(name)
        if found is None:
            near = [network for network in self._store.all() if network.id.startswith(name)]
            found = near[0] if len(near) == 1 else self._store.get(name)
        return found

    def find(self, name: str) -> Network | None:
        """The record of `name` as it is; nothing is made."""
        return self._store.find(name)

    def list(self) -> tuple[Network, ...]:
        """The networks that have been made, by name."""
        return self._store.all()

    def everything(self) -> tuple[Network, ...]:
        """All networks, by name, as docker lists them: with `host` and `none`, and `bridge` before its first use."""
        known = predefined(self._bridges.root, self._bridges.default_name())
        known |= {network.name: network for network in self._store.all()}
        return tuple(known[name] for name in sorted(known))

    def look_up(self, reference: str) -> Network:
        """One of `everything`, by name or by the beginning of its id. Raises `NotFoundError`."""
        known = self.everything()
        found = [one for one in known if one.name == reference]
        found = found or [one for one in known if reference and one.id.startswith(reference)]
        return found[0] if len(found) == 1 else self._store.get(reference)

    def attachments(self, network: Network | str) -> tuple[Attachment, ...]:
        """Who is in the network, by address."""
        record = self._record(network)
        with open_reservations(self._store.folder(record.name), record.name) as reservations:
            return tuple(reservations.all())

    def remove(self, name: str) -> None:
        """Remove a network, its bridge and its rules. Raises `ConflictError` naming the containers that are in it.

        The default network can be removed too, and is made anew, elsewhere if need be, with the next use.
        """
        network = self.get(name)
        folder = self._store.folder(network.name)
        with self._store.locked(), open_reservations(folder, network.name) as reservations:
            present = sorted({attachment.container[:12] for attachment in reservations.all()})
            if present:
                raise ConflictError(
                    f"network {network.name} is in use by {', '.join(present)}",
                    hint="remove the containers first",
                    reference="network-in-use",
                )
            try:
                with host_locked():
                    self._bridges.remove(network)
            except PermissionError:
                raise SandboxError(
                    f"no right to remove the bridge of network {network.name}", reference="network-not-permitted"
                ) from None
            self._store.discard(network.name)
        self._notify("destroy", network.id, {"name": network.name, "type": network.driver})

    def reserve(
        self,
        network: Network | str,
        container_id: str,
        names: Sequence[str],
        *,
        hosts_path: str = "",
        extra_hosts: Iterable[tuple[str, str]] = (),
        interface: str = "eth0",
        wanted: str = "",
        wanted6: str = "",
        mac: str = "",
        ports: Sequence[Published] = (),
    ) -> Attachment:
        """Give the container an address and its names, and tell its peers: work on files only.

        `names` begin with the canonical one (the host's name). `hosts_path` is made if missing, with `extra_hosts`
        (name, address) in it; it and the files of all peers are up to date on return. `wanted`, `wanted6` and `mac` ask
        for addresses. `ports` are the host's that lead to the container, which the caller has claimed.
        Raises `ConflictError` (taken, or in the network already), `InvalidError`, `NotFoundError`, `SandboxError`
        (full).
        """
        name = self._record(network).name
        with open_reservations(self._store.folder(name), name) as reservations:
            record = self._store.get(name)  # as it is now: the default network may have moved
            number = reservations.choose(record, wanted)
            everyone = reservations.all()
            attachment = Attachment(
                network=record.name,
                container=container_id,
                address=address.text(number),
                length=address.parse_subnet(record.subnet).length,
                interface=interface,
                host_interface=self._bridges.veth_name(one.host_interface for one in everyone),
                bridge=record.bridge,
                gateway="" if record.internal else record.gateway,
                mac=mac or address.mac(number),
                mtu=record.mtu,
                names=tuple(names),
                hosts_path=hosts_path,
                ports=tuple(ports) if not record.internal else (),
            )
            attachment = with_ipv6(attachment, record, everyone, wanted6)
            self._join(reservations, record, attachment, everyone, extra_hosts)
        return attachment

    def reserve_host(
        self,
        network: Network | str,
        container_id: str,
        names: Sequence[str],
        *,
        hosts_path: str = "",
        extra_hosts: Iterable[tuple[str, str]] = (),
    ) -> Attachment:
        """The same for a container that shares the host's network: names only, found at 127.0.0.1."""
        record = self._record(network)
        with open_reservations(self._store.folder(record.name), record.name) as reservations:
            attachment = Attachment(
                network=record.name,
                container=container_id,
                address="127.0.0.1",
                names=tuple(names),
                hosts_path=hosts_path,
            )
            self._join(reservations, record, attachment, reservations.all(), extra_hosts)
        return attachment

    def connect(self, attachment: Attachment, namespace_fd: int) -> None:
        """Put the container's interface into the network namespace behind the descriptor; `interface.configure` sets it
        up there.

        Makes bridge and rules when they are missing. Raises `SandboxError`.
        """
        if attachment.shared:
            return
        record = self._store.get(attachment.network)
        for last in (False, True):
            bridge = self._bridges.ensure(record)
            try:
                self._bridges.attach(attachment, bridge, namespace_fd)
            except OSError as error:
                if error.errno == errno.ENODEV and not last:  # the bridge went meanwhile
                    continue
                raise _refused(attachment, error) from None
            break
        if attachment.ports:
            self._bridges.publish(attachment)

    def release(self, container_id: str, *, cut: bool = False) -> None:
        """Give back all addresses and names of the container, and tell its peers. Its interfaces go with its namespace;
        with `cut` they are taken away first, for somebody else is in there, too.

        A container that has none is fine.
        """
        for name in self._store.names():
            folder = self._store.folder(name)
            if not os.path.islink(f"{folder}/containers/{container_id}"):  # noqa: PTH114 - no lock for the many others
                continue
            try:
                with open_reservations(folder, name) as reservations:
                    place = reservations.of(container_id)
                    self._unpublish(place)
                    if cut and place is not None:
                        self._bridges.detach(place)
                    if reservations.free(container_id):
                        tell(self._store.get(name), reservations.all())
            except NotFoundError:  # removed meanwhile
                continue

    def rename(self, network: str, container_id: str, old: str, new: str) -> Attachment | None:
        """Have the container be found by the name `new` instead of `old`, and tell its peers; its place now, if it has
        one.
        """
        record = self.get(network)
        with open_reservations(self._store.folder(record.name), record.name) as reservations:
            place = reservations.of(container_id)
            if place is None:
                return None
            place = place._replace(names=tuple(dict.fromkeys(new if name == old else name for name in place.names)))
            reservations.replace(place)
            tell(record, reservations.all())
        return place

    def leave(self, network: str, container_id: str) -> None:
        """Give back the container's place in one network, and tell its peers and itself; its interface is the caller's
        to remove.
        """
        record = self.get(network)
        with open_reservations(self._store.folder(record.name), record.name) as reservations:
            place = reservations.of(container_id)
            self._unpublish(place)
            if reservations.free(container_id):
                tell(record, reservations.all())
        if place is not None and place.hosts_path:
            names.rewrite(place.hosts_path, record.name, "")

    def folder(self, name: str) -> str:
        """Where a network is kept, for those who watch it."""
        return self._store.folder(name)

    def hosts(self, network: Network | str, *, for_container: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """What `for_container` finds its peers and itself by in the network: (address, names), by address."""
        record = self._record(network)
        with open_reservations(self._store.folder(record.name), record.name) as reservations:
            everyone = reservations.all()
        viewer = next((one for one in everyone if one.container == for_container), None)
        shared = viewer is None or viewer.shared
        ordered = sorted(everyone, key=lambda one: one.container != for_container)
        return tuple(entry(record, one, shared) for one in ordered)

    def reclaim(self, alive: Callable[[str], bool]) -> None:
        """Give back what belongs to containers that `alive` denies, and remove bridges that nobody's records know."""
        if not os.path.isdir(self._store.root):  # noqa: PTH112
            return
        with self._store.locked():
            self._store.sweep()
            networks = self._store.all()
            for network in networks:
                with open_reservations(self._store.folder(network.name), network.name) as reservations:
                    for one in reservations.all():
                        if one.ports and not alive(one.container):
                            self._unpublish(one)
                    if reservations.reclaim(alive):
                        tell(network, reservations.all())
            try:
                self._bridges.reclaim(network.bridge for network in networks)
            except PermissionError:  # an ordinary user has none
                return

    def tear_down(self) -> None:
        """Remove all bridges and rules of this engine from the host; records stay. For tests, and before
        uninstalling.
        """
        self._bridges.tear_down()

    def _unpublish(self, attachment: Attachment | None) -> None:
        """Before its address is given back: the next to have it is not to get what is sent to the ports."""
        if attachment is not None and attachment.ports:
            with contextlib.suppress(PermissionError):
                self._bridges.unpublish(attachment)

    def _known(self) -> Known:
        networks = self._store.all()
        published = []
        for network in networks:
            published += [one for one in read_all(self._store.folder(network.name)) if one.ports]
        return Known(networks, tuple(published))

    def publisher(self, protocol: str, address: str, port: int) -> str:
        """The name of the container that has a port of the host, "" for none."""
        for one in self._known().published:
            for known in one.ports:
                same = not address or not known.address or known.address == address
                if same and (known.protocol, known.port) == (protocol, port):
                    return one.names[1] if len(one.names) > 1 else one.names[0]
        return ""

    def _record(self, network: Network | str) -> Network:
        return network if isinstance(network, Network) else self.get(network)

    def _join(
        self,
        reservations: Reservations,
        network: Network,
        attachment: Attachment,
        others: Iterable[Attachment],
        extra_hosts: Iterable[tuple[str, str]],
    ) -> None:
        reservations.add(attachment)
        try:
            everyone = by_address((*others, attachment))
            tell(network, everyone, attachment.container, names.base(extra=extra_hosts))
        except BaseException:
            reservations.free(attachment.container)
            raise


def _bridges(root: str, prefix: str, known: Callable[[], Known]) -> Bridges:
    if owns_network():
        return Bridges(root, prefix, known)
    from sandbox.network.held import HeldBridges  # noqa: PLC0415  (ordinary users alone)

    return HeldBridges(root, prefix, known)


def _refused(attachment: Attachment, error: OSError) -> SandboxError:
    where = f"network {attachment.network}"
    if isinstance(error, PermissionError):
        return SandboxError(
            f"no right to connect to {where}",
            hint="bridges need root; use --network host or none",
            reference="network-not-permitted",
        )
    if error.errno == errno.EXFULL:
        return SandboxError(f"{where} is full", hint="a bridge has 1023 ports; use a second network")
    return SandboxError(f"cannot connect to {where}: {error.strerror} ({error.filename})")
