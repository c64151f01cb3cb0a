"""The operations that make a container, as values.

`plan` lists them, `--plan` prints them, `host` and `init` carry them out: the first in the supervisor, which has the
host's rights, the second in the container's first process, which has none but those of its own user namespace. An
operation holds everything it needs, so that a plan can be read, printed, compared and interrupted after any of its
lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from sandbox.kernel.capabilities import Capability
    from sandbox.kernel.cgroups import Limits
    from sandbox.kernel.idmap import IdMap
    from sandbox.kernel.namespaces import Flags
    from sandbox.network.records import Attachment

# --- the host's side: carried out by the supervisor, in this order -------------------------------------------------


class UnshareMounts(NamedTuple):
    """A mount namespace of the start's own: whatever is mounted from here on goes with it.

    As a `slave` it sees what is mounted on the host later, for binds that pass that on.
    """

    slave: bool = False


class CreateCgroup(NamedTuple):
    """The container's control group, with its limits; `asked` when the caller wants any, and hears where they fail."""

    name: str
    limits: Limits
    asked: bool


class JoinNamespaces(NamedTuple):
    """Namespaces of another container, by its first process, which is still the same."""

    pid: int
    start_time: int  # ticks since boot
    namespaces: Flags


class ShareMemory(NamedTuple):
    """Another container's /dev/shm, by its first process, which is still the same, under `key`."""

    key: str
    pid: int
    start_time: int  # ticks since boot


class MakeSystem(NamedTuple):
    """A /sys that shows the joined network; the container itself may not mount one."""

    key: str
    writable: bool


class CreateNamespaces(NamedTuple):
    """A user namespace with its ids, and others that belong to it, before any process of the container's is there.

    Without NEWUSER they belong to the one that was joined, or to ours.
    """

    namespaces: Flags
    ids: IdMap


class WriteFile(NamedTuple):
    """A file that the container finds in /etc; readable by all."""

    path: str
    text: str


class MountScratch(NamedTuple):
    """A tmpfs that holds the mount points of the layers; seen by the supervisor alone."""

    path: str


class MountLayer(NamedTuple):
    """One directory of the overlay under a short name, with its owners shifted into the container's range."""

    source: str
    name: str
    idmapped: bool


class MountOverlay(NamedTuple):
    """The container's root: the image's layers below, the container's own upper directory above.

    A `volatile` one is never synchronised with the disk: the kernel would write back the upper's whole file system when
    the overlay goes. It is for containers that are removed at their end, and after a crash anyway.
    """

    lowers: tuple[str, ...]
    userxattr: bool
    volatile: bool


class PrepareMount(NamedTuple):
    """A detached copy of a host directory, file or device, handed to init as a descriptor under `key`.

    With a `subpath`, of what that is in the directory: containers may write there, so it is resolved beneath it.
    """

    key: str
    source: str
    read_only: bool
    idmapped: bool
    recursive: bool
    device: tuple[int, int] | None  # (major, minor) that the source must be: CVE-2025-31133
    private: bool = False  # among binds that pass on what is mounted on the host later, one that does not
    writable_below: bool = False  # `read_only` does not mean the mounts below it
    subpath: str = ""


class MakeDevice(NamedTuple):
    """A node of the same device as the host's `source`, which the container's root owns, under `key`.

    The host's own node belongs to ids that the container does not have. An ordinary user cannot make one and hands
    the host's in (`made` is false).
    """

    key: str
    source: str
    made: bool


class SetProcessLimits(NamedTuple):
    """Limits of single processes (setrlimit(2)), as `kernel.rlimits.parse` reads them; set once init is born."""

    limits: tuple[str, ...]


class SetOomScore(NamedTuple):
    """How soon the kernel kills the container when memory runs out; set once init is born."""

    adjustment: int


class ConnectNetwork(NamedTuple):
    """A veth pair: one end on the network's bridge, the other in the container's network namespace."""

    attachment: Attachment


class OpenResolver(NamedTuple):
    """Sockets inside the container's network namespace, at which the supervisor answers for names of its networks."""


class StartInit(NamedTuple):
    """The container's first process, in its namespaces, and in further ones of its own; it does all that follows."""

    namespaces: Flags


# --- the container's side: carried out by init ---------------------------------------------------------------------


class BecomeRoot(NamedTuple):
    """Be user and group 0 of the container's user namespace, without supplementary groups and the caller's keys, not
    dumpable (CVE-2019-5736).
    """

    set_groups: bool


class EnterCgroup(NamedTuple):
    """Move into the control group, where init was not born in it, before anything of the container's runs."""

    name: str


class UnshareCgroups(NamedTuple):
    """A cgroup namespace rooted at the container's own group."""


class SetHostname(NamedTuple):
    """The UTS namespace's host name, and domain name if there is one."""

    name: str
    domain: str = ""


class HoldPlace(NamedTuple):
    """A descriptor of the directory that the root will be mounted on.

    While init still has the caller's id on files: the container's own root may not search the engine's folders.
    """

    path: str


class PrepareFilesystem(NamedTuple):
    """A fresh file system of the container's own, not yet mounted anywhere, under `key`."""

    key: str
    fstype: str
    options: tuple[tuple[str, str | None], ...]
    attributes: tuple[str, ...]  # names of mounts.Attr


class FurnishFilesystem(NamedTuple):
    """Directories and empty files to mount on, and `links` (what is in them, name), in a file system that nobody else
    has seen yet.
    """

    key: str
    directories: tuple[str, ...]
    files: tuple[str, ...]
    links: tuple[tuple[str, str], ...]


class AttachRoot(NamedTuple):
    """The overlay at the place that is held for it."""


class PlaceMount(NamedTuple):
    """Put what `PrepareMount` made at `target`, which is created where missing; resolved beneath the root by
    openat2.
    """

    key: str
    target: str
    directory: bool


class FillVolume(NamedTuple):
    """Copy what the image has at `target` into the new volume `key` that will lie over it."""

    key: str
    target: str


class OpenTerminal(NamedTuple):
    """A pseudo-terminal in the container's own devpts; its master goes to the supervisor, its slave becomes
    /dev/console.
    """


class ConfigureNetwork(NamedTuple):
    """Loopback up, then each interface with its address and route."""

    attachments: tuple[Attachment, ...]


class PivotRoot(NamedTuple):
    """The overlay becomes /, the host's mounts go."""


class MaskPath(NamedTuple):
    """Hide a file behind /dev/null or a directory behind an empty read-only tmpfs."""

    path: str


class ReadOnlyPath(NamedTuple):
    """Make a path read-only."""

    path: str


class SetParameter(NamedTuple):
    """A kernel parameter (sysctl) of one of the container's own namespaces."""

    name: str
    value: str


class SealRoot(NamedTuple):
    """Make the root read-only (`--read-only`)."""


class EnterDirectory(NamedTuple):
    """The working directory, created where missing, verified to be inside the root (CVE-2024-21626)."""

    path: str


class BecomeUser(NamedTuple):
    """The user and groups by the image's own /etc/passwd and /etc/group, and what of root's power stays."""

    user: str
    capabilities: frozenset[Capability]
    no_new_privileges: bool
    groups: tuple[str, ...] = ()  # further ones


class InstallSeccomp(NamedTuple):
    """The system-call filter."""

    profile: str
    capabilities: frozenset[Capability]


class Execute(NamedTuple):
    """Become the container's command, searched on the PATH of its environment."""

    argv: tuple[str, ...]
    environment: tuple[str, ...]


class ExecuteChild(NamedTuple):
    """Run the command as a child, pass signals on to it, bury orphans and end as it does (`--init`)."""

    argv: tuple[str, ...]
    environment: tuple[str, ...]


HostOperation = (
    UnshareMounts
    | CreateCgroup
    | JoinNamespaces
    | ShareMemory
    | MakeSystem
    | CreateNamespaces
    | WriteFile
    | MountScratch
    | MountLayer
    | MountOverlay
    | PrepareMount
    | MakeDevice
    | SetProcessLimits
    | SetOomScore
    | ConnectNetwork
    | OpenResolver
    | StartInit
)
InitOperation = (
    BecomeRoot
    | EnterCgroup
    | UnshareCgroups
    | SetHostname
    | HoldPlace
    | PrepareFilesystem
    | FurnishFilesystem
    | AttachRoot
    | PlaceMount
    | FillVolume
    | OpenTerminal
    | ConfigureNetwork
    | PivotRoot
    | MaskPath
    | ReadOnlyPath
    | SetParameter
    | SealRoot
    | EnterDirectory
    | BecomeUser
    | InstallSeccomp
    | Execute
    | ExecuteChild
)


class Plan(NamedTuple):
    """Everything that will be done to start one container, in order; `warnings` say what the host lacks."""

    host: tuple[HostOperation, ...]
    init: tuple[InitOperation, ...]
    warnings: tuple[str, ...]

    def lines(self) -> list[str]:
        """One line an operation, for people: side, verb, fields."""
        from sandbox.runtime import plan_text  # noqa: PLC0415  (`--plan` alone prints one)

        return plan_text.lines(self)
