"""What the host adds to a container's configuration, found out and reserved before its plan is made.

`collect` runs in the supervisor: it takes an id range and addresses, and looks at what this host can do. `predict`
answers the same for `--plan`, without taking or writing anything. What the host lacks is degraded here, each with one
warning that says what and why.
"""

from __future__ import annotations

import functools
import os
import stat
from typing import TYPE_CHECKING, Any

from sandbox.errors import InvalidError, NotFoundError
from sandbox.image import digest
from sandbox.image.snapshots import Snapshots
from sandbox.kernel import idmap
from sandbox.kernel.cgroups import DeviceRate, Hierarchy, Limits
from sandbox.kernel.idmap import IdMap
from sandbox.kernel.idranges import RANGE_SIZE, IdRanges, range_map
from sandbox.runtime import devices, joining
from sandbox.runtime.plan import Bind, Facts
from sandbox.runtime.spec import MountKind, Resources

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sandbox.network.forwarding import Forwarding
    from sandbox.network.networks import Networks
    from sandbox.network.records import Attachment, Published
    from sandbox.network.resolver import Resolver, Sockets
    from sandbox.runtime.config import ContainerConfig
    from sandbox.runtime.neighbour import Neighbour
    from sandbox.runtime.sharing import Owner
    from sandbox.runtime.spares import Spare, Spares
    from sandbox.runtime.spec import DiskRate, Mount
    from sandbox.runtime.streams import Part

DEFAULT_PIDS_LIMIT = 4096
CGROUP_PARENT = "hako"


@functools.cache
def hierarchy() -> Hierarchy:
    """The host's control groups, looked at once in a process; a supervisor inherits it from its engine."""
    found = Hierarchy.detect()
    if found.version == 1:
        import sandbox.kernel.cgroups_v1  # noqa: PLC0415  (one of the two, and before a fork rather than after)
    else:
        import sandbox.kernel.cgroups_v2  # noqa: F401, PLC0415
    return found


class Allocations:
    """What a running container holds of the host, and how it is given back."""

    def __init__(self, home: Path, identifier: str, hierarchy: Hierarchy) -> None:
        self.hierarchy = hierarchy
        self.spare: Spare | None = None  # whoever uses it makes it its own
        self.joined = joining.Joined()
        self.resolver: Resolver | None = None
        self.forwarding: Forwarding | None = None
        self._id = identifier
        self._home = home
        self._folder = home / "containers" / identifier
        self._give_ids_back: Callable[[], None] | None = None

    @functools.cached_property
    def networks(self) -> Networks:
        """All of this state directory."""
        from sandbox.network.networks import Networks  # noqa: PLC0415  (4 ms that a container without one need not wait)

        return Networks(self._home / "networks")

    def take_ids(self, spares: Spares) -> IdMap:
        """A range of the host's ids for this container alone, with namespaces where they are ready."""
        spare = self.spare = spares.take(self._home)
        if spare is not None:
            self._give_ids_back = functools.partial(spares.give_back, self._home, spare.range)
            return spare.range.ids
        ranges = IdRanges(self._home / "ids")
        self._give_ids_back = functools.partial(ranges.release, self._id)
        return ranges.allocate(self._id)

    def share_ids(self, ids: IdMap) -> IdMap:
        """Another container's range of ids, for both."""
        ranges = IdRanges(self._home / "ids")
        ranges.share(ids, self._id)
        self._give_ids_back = functools.partial(ranges.release, self._id)
        return ids

    def address(self) -> dict[str, Any]:
        """The fields of `State` that tell its places in networks."""
        attachments = self.joined.attachments
        if not attachments or not attachments[0].interface:
            return {}
        first = attachments[0]
        return {
            "address": f"{first.address}/{first.length}",
            "gateway": first.gateway,
            "mac": first.mac,
            "attachments": attachments,
        }

    def serve(self, loop: Part, sockets: Sockets, servers: tuple[str, ...]) -> None:
        """Answer questions for names that arrive at `sockets`, from now on."""
        from sandbox.network.resolver import Resolver  # noqa: PLC0415  (loaded by whoever made the sockets)
        from sandbox.network.zone import Zone  # noqa: PLC0415

        self.resolver = Resolver(loop, sockets, Zone(self.networks, lambda: self.joined.attachments, servers))

    def forward(self, loop: Part) -> None:
        """Have connections to published ports that no rule translates go to the container, from now on."""
        from sandbox.network.forwarding import PROTOCOLS, Forwarding  # noqa: PLC0415  (few containers publish ports)

        held = self.networks.held
        claims = [one for one in self.joined.claims if held or (one.has_ipv6 and one.port.protocol in PROTOCOLS)]
        if claims:
            self.forwarding = Forwarding(loop, claims, self._published_at, self.networks.place())

    def _published_at(self, port: Published) -> str:
        for one in self.joined.attachments:
            if port in one.ports:
                return one.address6 if ":" in port.address and one.address6 else one.address
        return ""

    def release(self) -> None:
        """Give everything back; safe to repeat."""
        if self.resolver is not None:
            self.resolver.close()
            self.resolver = None
        if self.forwarding is not None:
            self.forwarding.close()
            self.forwarding = None
        if self.spare is not None:
            self.spare.close()
            self.spare = None
        if self._give_ids_back is not None:
            self._give_ids_back()
            self._give_ids_back = None
        if self.joined.attachments or self.joined.claims:
            self.joined.leave(self.networks, self._id, shared=(self._folder / joining.SHARED).exists())


def collect(home: Path, folder: Path, config: ContainerConfig, spares: Spares) -> tuple[Facts, Allocations]:
    """Reserve and look; on an error what was reserved is given back."""
    allocations = Allocations(home, config.id, hierarchy())
    try:
        return _collect(home, folder, config, allocations, spares), allocations
    except BaseException:
        allocations.release()
        raise


def predict(home: Path, config: ContainerConfig) -> Facts:
    """The facts that a start would find now, with the first id range in place of the one it would get; nothing is
    touched.
    """
    privileged = idmap.in_initial_namespace()
    own = privileged and not config.spec.shared.user
    ids = range_map(0) if own else IdMap.identity(RANGE_SIZE)
    allocations = Allocations(home, config.id, hierarchy())
    network, warnings = _network_mode(allocations, config, privileged=privileged)
    folder, held = home / "containers" / config.id, _is_held(allocations, network)
    facts = _facts(home, folder, config, ids, allocations.hierarchy, (), network, held, privileged, warnings)
    return facts._replace(neighbour=_neighbour(home, config))


def _collect(home: Path, folder: Path, config: ContainerConfig, allocations: Allocations, spares: Spares) -> Facts:
    privileged = idmap.in_initial_namespace()
    neighbour = _neighbour(home, config)
    if not privileged or config.spec.shared.user:
        ids = IdMap.identity(RANGE_SIZE)
    elif neighbour is not None:
        ids = allocations.share_ids(neighbour.ids)
    else:
        ids = allocations.take_ids(spares)
    network, warnings = _network_mode(allocations, config, privileged=privileged)
    (home / "mnt").mkdir(mode=0o700, exist_ok=True)
    if network == "container":
        from sandbox.runtime import sharing  # noqa: PLC0415  (seldom)

        sharing.mark(home, config)
    if joining.stays_out(config, network):
        allocations.joined = joining.stay_out(config)
    else:
        allocations.joined = joining.join(allocations.networks, folder, config, network)
    joined = allocations.joined
    attachments = joined.attachments if network == "bridge" else ()
    warnings += joined.warnings
    found, held = allocations.hierarchy, _is_held(allocations, network)
    facts = _facts(home, folder, config, ids, found, attachments, network, held, privileged, warnings)
    return facts._replace(neighbour=neighbour)


def _facts(
    home: Path,
    folder: Path,
    config: ContainerConfig,
    ids: IdMap,
    cgroups: Hierarchy,
    attachments: tuple[Attachment, ...],
    network: str,
    held: bool,
    privileged: bool,
    warnings: tuple[str, ...],
) -> Facts:
    snapshots = Snapshots(home)
    lowers = tuple(str(snapshots.path(digest.parse(chain))) for chain in config.layers)
    for lower in lowers:
        if not os.path.isdir(lower):
            raise NotFoundError(
                f"a layer of image {config.spec.image!r} is gone: {lower}",
                hint="make or pull the image again",
                reference="no-such-layer",
            )
    if not cgroups.version and config.spec.resources != Resources():
        warnings += ("limits are not enforced: the host has no cgroups mounted",)
    idmapped = privileged and not config.spec.shared.user
    return Facts(
        folder=str(folder),
        scratch=str(home / "mnt"),
        lowers=lowers,
        ids=ids,
        idmapped=idmapped,
        userxattr=not privileged,
        set_groups=privileged or not ids.single,
        single_id=ids.single,
        cgroup=f"{CGROUP_PARENT}/{config.id}" if cgroups.version else "",
        limits=limits(config.spec.resources)._replace(devices=devices.rules(config.spec)),
        control_groups=_control_groups(cgroups, shared=config.spec.shared.cgroup),
        network=network,
        attachments=attachments,
        owner=_owner(home, config) if network == "container" else None,
        resolver=bool(attachments) and joining.has_resolver(config),
        binds=tuple(_bind(home, mount, idmapped) for mount in config.spec.mounts if mount.kind is not MountKind.TMPFS),
        files=joining.files(config, network, held=held),
        warnings=warnings,
    )


def _control_groups(cgroups: Hierarchy, *, shared: bool) -> str:
    """Of version 2 only: a mount of version 1 shows the host's groups in any namespace."""
    if cgroups.version != 2:
        return ""
    return cgroups.unified if shared else "own"  # nobody may mount what belongs to a namespace of the host's


def limits(resources: Resources) -> Limits:
    """What the control group is set to. Raises InvalidError for the rate of what is no disk."""
    fields = resources._asdict()
    rates = tuple(_device_rate(rate) for rate in fields.pop("disk_rates"))
    return Limits(**(fields | {"pids": resources.pids or DEFAULT_PIDS_LIMIT, "device_rates": rates}))


def _device_rate(rate: DiskRate) -> DeviceRate:
    try:
        found = os.stat(rate.path)
    except OSError as error:
        raise InvalidError(f"cannot limit the disk {rate.path!r}: {(error.strerror or '').lower()}") from None
    if not stat.S_ISBLK(found.st_mode):
        raise InvalidError(f"cannot limit {rate.path!r}: it is no block device", hint="such as /dev/sda")
    number = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
    return DeviceRate(number, **{rate.kind: rate.rate})


def _is_held(allocations: Allocations, network: str) -> bool:
    return network == "bridge" and allocations.networks.held


def _network_mode(
    allocations: Allocations, config: ContainerConfig, *, privileged: bool
) -> tuple[str, tuple[str, ...]]:
    """Bridge, none, host or container. An ordinary user's networks that have a way out need a program for it; where
    that is missing, the container shares the host's.
    """
    wanted = config.spec.network
    if wanted in ("none", "host"):
        return wanted, ()
    if wanted.startswith("container:"):
        return "container", ()
    if privileged:
        return "bridge", ()  # what is missing is an error
    lacking = allocations.networks.lacking()
    if not lacking or _are_internal(allocations.networks, config):
        return "bridge", ()
    return "host", (
        f"network {wanted!r}: an ordinary user's networks have no way out here, so the container shares the host's; "
        f"with {lacking} it has one of its own",
    )


def _are_internal(networks: Networks, config: ContainerConfig) -> bool:
    return all(networks.get(one.network).internal for one in joining.endpoints(config))


def _neighbour(home: Path, config: ContainerConfig) -> Neighbour | None:
    if not config.spec.shared.pid_container and not config.spec.shared.ipc_container:
        return None
    from sandbox.runtime import neighbour  # noqa: PLC0415  (seldom)

    return neighbour.find(home, config)


def _owner(home: Path, config: ContainerConfig) -> Owner:
    from sandbox.runtime import sharing  # noqa: PLC0415  (seldom)

    return sharing.find(home, config)


def _bind(home: Path, mount: Mount, idmapped: bool) -> Bind:
    if mount.kind is MountKind.VOLUME:
        source = home / "volumes" / mount.source / "data"
        fill = fills(home, mount)
        if fill:
            from sandbox.runtime import filling  # noqa: F401, PLC0415  (before init is born, which imports nothing)
        return Bind(
            str(source),
            mount.target,
            mount.read_only,
            directory=not mount.subpath or _is_directory(source, mount),
            idmapped=idmapped,
            recursive=False,
            fill=fill,
            subpath=mount.subpath,
        )
    try:
        information = os.stat(mount.source)
    except OSError as error:
        raise InvalidError(
            f"cannot mount {mount.source!r}: {(error.strerror or '').lower()}",
            hint="make it first, or correct the path before the colon",
            reference="mount-source",
        ) from error
    return Bind(
        mount.source,
        mount.target,
        mount.read_only,
        directory=stat.S_ISDIR(information.st_mode),
        idmapped=idmapped,
        recursive=mount.recursive,
        propagation=mount.propagation,
        writable_below=mount.writable_below,
    )


def _is_directory(volume: Path, mount: Mount) -> bool:
    """What a part of a volume is."""
    from sandbox.kernel.paths import Root  # noqa: PLC0415  (for few mounts)

    with Root(volume) as root:
        try:
            descriptor = root.open(mount.subpath, os.O_PATH)
        except OSError as error:
            raise InvalidError(
                f"cannot mount {mount.subpath!r} of volume {mount.source}: {(error.strerror or '').lower()}",
                hint="make it first, or correct volume-subpath",
                reference="mount-source",
            ) from error
    try:
        return stat.S_ISDIR(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)


def fills(home: Path, mount: Mount) -> bool:
    """Whether it is a volume that gets what the image has there: an empty one. One that is mounted read-only cannot be
    filled on the way, nor can a part of one.
    """
    if mount.kind is not MountKind.VOLUME or not mount.copy or mount.read_only or mount.subpath:
        return False
    try:
        return not os.listdir(home / "volumes" / mount.source / "data")
    except FileNotFoundError:
        return True  # for `predict`: it would be made
