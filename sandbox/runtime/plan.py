"""From a created container and facts about the host to the list of operations that starts it. Pure.

`--plan` prints the result, the supervisor carries it out, tests compare it. Whatever depends on the host (which ids
are free, which address was given, whether id-mapped mounts work) comes in as `Facts`. The defaults are Docker's: its
mounts, devices, masked and read-only paths, capabilities; on top of them every container has a user namespace and
no_new_privs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.kernel import capabilities
from sandbox.kernel.namespaces import Flags
from sandbox.records import NamedTuple
from sandbox.runtime import devices
from sandbox.runtime import operations as op
from sandbox.runtime.spec import MountKind, Resources, Shared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.kernel.capabilities import Capability
    from sandbox.kernel.cgroups import Limits
    from sandbox.kernel.idmap import IdMap
    from sandbox.network.records import Attachment
    from sandbox.runtime.config import ContainerConfig
    from sandbox.runtime.neighbour import Neighbour
    from sandbox.runtime.sharing import Owner
    from sandbox.runtime.spec import ContainerSpec, Mount, Security

DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
LINKS = (
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
)
MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READ_ONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
CONTROL_GROUPS = "/sys/fs/cgroup"
FILES = ("hosts", "hostname", "resolv.conf")
_NOTHING_SHARED = Shared()
_REPLACEABLE = ("/dev", "/dev/shm")  # a tmpfs of the caller's there takes the place of ours  # noqa: S108


class Bind(NamedTuple):
    """A host path that init finds at `target`; `directory` says what it is."""

    source: str
    target: str
    read_only: bool
    directory: bool
    idmapped: bool
    recursive: bool
    fill: bool = False  # a new volume
    propagation: str = ""
    writable_below: bool = False
    subpath: str = ""


class Facts(NamedTuple):
    """What the host adds: `lowers` are layer directories, top first; `network` is bridge, none, host or container;
    `scratch` is an empty directory to mount on, the same for all, since each supervisor has mounts of its own.

    `control_groups` is what appears at /sys/fs/cgroup: "own" a cgroup2 of the container's own namespace, or one of the
    host's directories, or nothing.
    """

    folder: str
    scratch: str
    lowers: tuple[str, ...]
    ids: IdMap
    idmapped: bool
    userxattr: bool
    set_groups: bool
    single_id: bool
    cgroup: str
    limits: Limits
    control_groups: str
    network: str
    attachments: tuple[Attachment, ...]
    binds: tuple[Bind, ...]
    files: tuple[tuple[str, str], ...]  # (name, text) of what has to be written for /etc
    warnings: tuple[str, ...]
    resolver: bool = False  # for names of its networks
    owner: Owner | None = None  # of the network, with `network` container
    neighbour: Neighbour | None = None  # whose processes or shared memory it has, and whose ids

    @property
    def own_network(self) -> bool:
        """Whether the container has a network namespace of its own."""
        return self.network not in ("host", "container")

    @property
    def system(self) -> str:
        """Where /sys comes from, which shows a network's interfaces: the container itself, the host or the `owner`."""
        if self.own_network:
            return "own"
        return "owner" if self.owner is not None and self.owner.pid else "host"


def plan(config: ContainerConfig, facts: Facts) -> op.Plan:
    """Every operation of one start, in order."""
    return op.Plan(host=tuple(_host(config, facts)), init=tuple(_init(config, facts)), warnings=facts.warnings)


def capability_set(security: Security, shared: Shared = _NOTHING_SHARED) -> frozenset[Capability]:
    """Docker's default set with `--cap-add` and `--cap-drop` (ALL is understood); all of them when privileged.

    In the host's user namespace a device node opens a device, so there the right to make one has to be asked for.
    """
    if security.privileged:
        return frozenset(capabilities.Capability)
    default = capabilities.DEFAULT - {capabilities.Capability.MKNOD} if shared.user else capabilities.DEFAULT
    if not security.capabilities_add and not security.capabilities_drop:
        return default
    kept = set(default)
    if any(name.upper() == "ALL" for name in security.capabilities_drop):
        kept = set()
    for name in security.capabilities_add:
        kept |= set(capabilities.Capability) if name.upper() == "ALL" else {capabilities.parse(name)}
    for name in security.capabilities_drop:
        if name.upper() != "ALL":
            kept.discard(capabilities.parse(name))
    return frozenset(kept)


def _host(config: ContainerConfig, facts: Facts) -> Iterator[op.HostOperation]:
    shared = config.spec.shared
    namespaces = Flags(0)
    for flag, own in (
        (Flags.NEWUSER, not shared.user and facts.neighbour is None),
        (Flags.NEWUTS, not shared.uts),
        (Flags.NEWIPC, not shared.ipc and not shared.ipc_container),
        (Flags.NEWNET, facts.own_network),
    ):
        namespaces |= flag if own else Flags(0)
    passing_on = any(bind.propagation == "slave" for bind in facts.binds)
    yield op.UnshareMounts(slave=passing_on)
    if facts.cgroup:
        yield op.CreateCgroup(facts.cgroup, facts.limits, asked=_asks_for_limits(config.spec))
    if facts.owner is not None and facts.owner.pid:
        yield op.JoinNamespaces(facts.owner.pid, facts.owner.start_time, Flags.NEWNET)
    if facts.neighbour is not None:
        yield from _join(shared, facts.neighbour)
    yield op.CreateNamespaces(namespaces, facts.ids)
    yield from _process_settings(config)
    for name, text in facts.files:
        yield op.WriteFile(f"{facts.folder}/{name}", text)
    yield op.MountScratch(facts.scratch)
    names = tuple(f"l{index}" for index in range(len(facts.lowers)))
    for source, name in zip(facts.lowers, names, strict=True):
        yield op.MountLayer(source, name, facts.idmapped)
    yield op.MountLayer(facts.folder, "rw", facts.idmapped)
    for index, device in enumerate(config.spec.devices):
        yield op.MakeDevice(f"device/{index}", device.source, made=facts.idmapped)
    yield op.MountOverlay(names, facts.userxattr, volatile=config.spec.auto_remove)
    if shared.pid:
        yield op.PrepareMount("/proc", "/proc", False, False, True, None)
    if shared.ipc:
        yield op.PrepareMount("/dev/shm", "/dev/shm", False, False, False, None)  # noqa: S108
    yield from _prepared(facts, passing_on=passing_on, privileged=config.spec.security.privileged)
    for attachment in facts.attachments:
        yield op.ConnectNetwork(attachment)
    if facts.resolver:
        yield op.OpenResolver()
    yield op.StartInit(Flags.NEWNS if shared.pid or shared.pid_container else Flags.NEWNS | Flags.NEWPID)


def _join(shared: Shared, neighbour: Neighbour) -> Iterator[op.HostOperation]:
    joined = Flags(0) if shared.user else Flags.NEWUSER
    joined |= Flags.NEWPID if shared.pid_container else Flags(0)
    joined |= Flags.NEWIPC if shared.ipc_container else Flags(0)
    yield op.JoinNamespaces(neighbour.pid, neighbour.start_time, joined)
    if shared.ipc_container:
        yield op.ShareMemory("/dev/shm", neighbour.pid, neighbour.start_time)  # noqa: S108


def _asks_for_limits(spec: ContainerSpec) -> bool:
    return spec.resources != Resources() or devices.asked(spec)


def _process_settings(config: ContainerConfig) -> Iterator[op.HostOperation]:
    if config.spec.ulimits:
        yield op.SetProcessLimits(config.spec.ulimits)
    if config.spec.oom_score is not None:
        yield op.SetOomScore(config.spec.oom_score)


def _prepared(facts: Facts, *, passing_on: bool, privileged: bool) -> Iterator[op.HostOperation]:
    """What init gets of the host's: devices, its files in /etc, system directories, what the caller mounts."""
    for name, number in DEVICES.items():
        yield op.PrepareMount(f"dev/{name}", f"/dev/{name}", False, False, False, number)
    for name in FILES:
        folder = facts.folder if facts.owner is None else facts.owner.folder
        yield op.PrepareMount(name, f"{folder}/{name}", False, facts.idmapped, False, None)
    if facts.system == "owner":
        yield op.MakeSystem("sys", privileged)
    if facts.system == "host":
        yield op.PrepareMount("sys", "/sys", True, False, True, None)
    if facts.system != "host" and facts.control_groups not in ("", "own"):
        yield op.PrepareMount(CONTROL_GROUPS, facts.control_groups, True, False, True, None)
    for index, bind in enumerate(facts.binds):
        private = passing_on and bind.propagation != "slave"
        yield op.PrepareMount(
            f"bind/{index}",
            bind.source,
            bind.read_only,
            bind.idmapped,
            bind.recursive,
            None,
            private,
            bind.writable_below,
            bind.subpath,
        )


def _init(config: ContainerConfig, facts: Facts) -> Iterator[op.InitOperation]:
    if facts.cgroup:
        yield op.EnterCgroup(facts.cgroup)
    yield op.HoldPlace(facts.scratch)
    yield op.BecomeRoot(facts.set_groups)
    if facts.cgroup and not config.spec.shared.cgroup:
        yield op.UnshareCgroups()
    if not config.spec.shared.uts:
        yield op.SetHostname(config.hostname, config.spec.domainname)
    for target, filesystem in _filesystems(config, facts):
        yield op.PrepareFilesystem(target, *filesystem)
    yield op.FurnishFilesystem("/dev", _directories(config.spec.shared), tuple(DEVICES), LINKS)
    yield op.AttachRoot()
    if facts.own_network:
        yield op.ConfigureNetwork(facts.attachments)
    yield from _system_mounts(facts, config.spec)
    yield from _user_mounts(config.spec.mounts, facts.binds)
    yield from _files(config.spec.mounts)
    yield op.PivotRoot()
    if config.spec.terminal:
        yield op.OpenTerminal()
    yield from _restrictions(config)
    yield (op.ExecuteChild if config.spec.init else op.Execute)(config.argv, config.environment)


def _restrictions(config: ContainerConfig) -> Iterator[op.InitOperation]:
    """What is taken away before the command runs, the system calls last."""
    security = config.spec.security
    keep = capability_set(security, config.spec.shared)
    for name, value in config.spec.sysctls.items():
        yield op.SetParameter(name, value)
    if not security.privileged:
        for path in MASKED_PATHS:
            yield op.MaskPath(path)
        for path in READ_ONLY_PATHS:
            yield op.ReadOnlyPath(path)
    yield op.EnterDirectory(config.working_dir)
    if config.spec.read_only:
        yield op.SealRoot()
    no_new_privileges = security.no_new_privileges and not security.privileged
    profiles = () if security.privileged or security.seccomp == "unconfined" else (security.seccomp,)
    # Last, where it may be: without no_new_privs it takes CAP_SYS_ADMIN, which goes with the change of the user.
    if not no_new_privileges:
        yield from (op.InstallSeccomp(profile, keep) for profile in profiles)
    yield op.BecomeUser(config.user, keep, no_new_privileges, config.spec.groups)
    if no_new_privileges:
        yield from (op.InstallSeccomp(profile, keep) for profile in profiles)


def _directories(shared: Shared) -> tuple[str, ...]:
    """Where file systems are mounted in /dev."""
    return ("pts", "mqueue") if shared.no_memory else ("pts", "shm", "mqueue")


# (type, options, attributes) of a file system
_Filesystem = tuple[str, tuple[tuple[str, str | None], ...], tuple[str, ...]]


def _filesystems(config: ContainerConfig, facts: Facts) -> Iterator[tuple[str, _Filesystem]]:
    """(key, file system): those that can be made before its root is there. The caller's tmpfs on /dev or /dev/shm is
    what the container has there.
    """
    tmpfs = {_tmpfs_key(mount): _tmpfs(mount) for mount in config.spec.mounts if mount.kind is MountKind.TMPFS}
    for key, filesystem in _own_filesystems(config, facts):
        yield key, tmpfs.pop(key, filesystem)
    yield from tmpfs.items()


def _own_filesystems(config: ContainerConfig, facts: Facts) -> Iterator[tuple[str, _Filesystem]]:
    """(key, file system): what every container has, by where it is mounted."""
    safe = ("NOSUID", "NODEV", "NOEXEC")
    system = safe if config.spec.security.privileged else (*safe, "RDONLY")
    if not config.spec.shared.pid:
        yield "/proc", ("proc", (), safe)
    yield "/dev", ("tmpfs", (("mode", "755"), ("size", "65536k")), ("NOSUID",))
    pts: tuple[tuple[str, str | None], ...] = (("newinstance", None), ("ptmxmode", "0666"), ("mode", "0620"))
    yield "/dev/pts", ("devpts", pts if facts.single_id else (*pts, ("gid", "5")), ("NOSUID", "NOEXEC"))
    if not config.spec.shared.ipc:
        yield from _own_memory(config)
    if facts.system == "own":
        yield "/sys", ("sysfs", (), system)
    if facts.system != "host" and facts.control_groups == "own":
        yield CONTROL_GROUPS, ("cgroup2", (), system)


def _own_memory(config: ContainerConfig) -> Iterator[tuple[str, _Filesystem]]:
    safe = ("NOSUID", "NODEV", "NOEXEC")
    if not config.spec.shared.ipc_container and not config.spec.shared.no_memory:
        yield "/dev/shm", ("tmpfs", (("mode", "1777"), ("size", str(config.spec.shm_size))), safe)  # noqa: S108
    yield "/dev/mqueue", ("mqueue", (), safe)


def _tmpfs_key(mount: Mount) -> str:
    return mount.target if mount.target in _REPLACEABLE else f"tmpfs{mount.target}"


def _tmpfs(mount: Mount) -> _Filesystem:
    """What `--tmpfs` and `--mount type=tmpfs` ask for; nothing in it is executed, unless that is said."""
    options: dict[str, str | None] = {"mode": "1777"}
    if mount.size is not None:
        options["size"] = str(mount.size)
    options |= {key: value for key, equals, value in (word.partition("=") for word in mount.options) if equals}
    allowed = {"exec": "NOEXEC", "suid": "NOSUID", "dev": "NODEV"}
    lifted = {allowed[word] for word in mount.options if word in allowed}
    attributes = tuple(name for name in ("NOSUID", "NODEV", "NOEXEC") if name not in lifted)
    return "tmpfs", tuple(options.items()), (*attributes, "RDONLY") if mount.read_only else attributes


def _system_mounts(facts: Facts, spec: ContainerSpec) -> Iterator[op.InitOperation]:
    """What every container has, outer targets first."""
    callers = {mount.target for mount in spec.mounts if mount.kind is MountKind.TMPFS}
    memory = () if spec.shared.no_memory and "/dev/shm" not in callers else ("/dev/shm",)  # noqa: S108
    queues = () if spec.shared.ipc else ("/dev/mqueue",)  # only who owns their namespace may mount them
    for target in ("/proc", "/dev", "/dev/pts", *memory, *queues):
        yield op.PlaceMount(target, target, directory=True)
    for name in DEVICES:
        yield op.PlaceMount(f"dev/{name}", f"/dev/{name}", directory=False)
    for index, device in enumerate(spec.devices):
        yield op.PlaceMount(f"device/{index}", device.target, directory=False)
    yield op.PlaceMount("/sys" if facts.system == "own" else "sys", "/sys", directory=True)
    if facts.system != "host" and facts.control_groups:
        yield op.PlaceMount(CONTROL_GROUPS, CONTROL_GROUPS, directory=True)


def _files(mounts: tuple[Mount, ...]) -> Iterator[op.InitOperation]:
    """The container's own files in /etc, over what the caller mounts there; not over a mount of such a file itself."""
    taken = {mount.target for mount in mounts}
    for name in FILES:
        if f"/etc/{name}" not in taken:
            yield op.PlaceMount(name, f"/etc/{name}", directory=False)


def _user_mounts(mounts: tuple[Mount, ...], binds: tuple[Bind, ...]) -> Iterator[op.InitOperation]:
    """What the caller mounts, outer targets first so that inner ones are not hidden."""
    by_target = {bind.target: (index, bind) for index, bind in enumerate(binds)}
    for mount in sorted(mounts, key=lambda mount: mount.target.rstrip("/").count("/")):
        if mount.kind is MountKind.TMPFS:
            if mount.target not in _REPLACEABLE:
                yield op.PlaceMount(_tmpfs_key(mount), mount.target, directory=True)
        else:
            index, bind = by_target[mount.target]
            if bind.fill:
                yield op.FillVolume(f"bind/{index}", mount.target)
            yield op.PlaceMount(f"bind/{index}", mount.target, directory=bind.directory)
