"""What a container is asked to be: the records that callers fill in and `config.json` keeps.

The CLI, the runner and the Remote API all make a `ContainerSpec`; `plan` turns it, with facts about the host, into
operations. Values are as a person gives them (the image's defaults are not merged yet), names follow the Docker
Engine API.

Records on the path of a `sandbox run` are named tuples, always made with keywords: loading `dataclasses` alone takes
12 ms, and each frozen class of it 0.6 ms to make.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.image.config import Healthcheck
    from sandbox.network.records import PortRequest


class MountKind(StrEnum):
    """Where a mount's content comes from."""

    BIND = "bind"
    VOLUME = "volume"
    TMPFS = "tmpfs"


class LogDriver(StrEnum):
    """Where output goes."""

    LOCAL = "local"  # chunks with times, in the container's folder
    NONE = "none"  # output goes to the attached descriptors only


class Mount(NamedTuple):
    """`source` is a host path (bind), a volume's name (volume; empty for one that gets its name with the container) or
    empty (tmpfs); `target` is absolute in the container.
    """

    kind: MountKind
    target: str
    source: str = ""
    read_only: bool = False
    size: int | None = None  # bytes, tmpfs only
    anonymous: bool = False  # a volume that goes with its container
    copy: bool = True  # a new volume is filled with what the image has there
    recursive: bool = True  # with the mounts below a bind's source
    writable_below: bool = False  # those below stay as they are where it is read-only
    subpath: str = ""  # of a volume: this file or directory in it, links followed within
    propagation: str = ""  # of a bind: private, or slave: what is mounted there on the host later is seen, too
    options: tuple[str, ...] = ()  # of a tmpfs: mode=…, uid=…, gid=…, nr_inodes=…, exec, suid, dev


class DiskRate(NamedTuple):
    """At most `rate` bytes or operations a second on the block device at `path` of the host; `kind` is read_bps,
    write_bps, read_iops or write_iops, or weight, for a `blkio_weight` there.
    """

    kind: str
    path: str
    rate: int


class Resources(NamedTuple):
    """Limits; `None` is no limit. Sizes in bytes, `cpus` in processors, `pids` a number of tasks.

    `memory_swap` counts memory and swap together: `None` is twice the memory, -1 no limit of swap. `blkio_weight` is
    10 to 1000.
    """

    memory: int | None = None
    cpus: float | None = None
    pids: int | None = None
    memory_swap: int | None = None
    memory_reservation: int | None = None
    cpu_shares: int | None = None
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    blkio_weight: int | None = None
    disk_rates: tuple[DiskRate, ...] = ()
    swappiness: int | None = None  # 0 to 100, cgroup v1 only
    oom_kill_disable: bool = False  # cgroup v1 only


class Security(NamedTuple):
    """What is taken away; the defaults are Docker's, with no_new_privs on top."""

    privileged: bool = False
    capabilities_add: tuple[str, ...] = ()
    capabilities_drop: tuple[str, ...] = ()
    no_new_privileges: bool = True
    seccomp: str = "default"  # default | unconfined | the text of a profile in Docker's JSON


class Dns(NamedTuple):
    """What /etc/resolv.conf says instead of the host's; empty is the host's."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class Endpoint(NamedTuple):
    """A place in a network that is asked for; an empty address is any."""

    network: str
    aliases: tuple[str, ...] = ()
    address: str = ""
    address6: str = ""
    mac: str = ""


class Shared(NamedTuple):
    """Which of the host's namespaces the container has in place of its own, but for the network's.

    With the host's `user` namespace root of the container is root of the host, or the user whose engine it is. Of
    another container it can have processes or shared memory, if that is `ipc_shareable`, and has its ids then.
    """

    pid: bool = False
    ipc: bool = False
    uts: bool = False
    cgroup: bool = False
    user: bool = False
    pid_container: str = ""
    ipc_container: str = ""
    ipc_shareable: bool = False
    no_memory: bool = False  # shared memory of its own, but no /dev/shm


class Device(NamedTuple):
    """A device node of the host at `source`, found at `target` in the container; `permissions` are of r, w and m."""

    source: str
    target: str
    permissions: str = "rwm"

    @property
    def restricted(self) -> bool:
        """Whether it may not be both read and written, which takes a control group."""
        return not {"r", "w"} <= set(self.permissions)


class ContainerSpec(NamedTuple):
    """One container. `entrypoint`/`command` of `None` mean the image's; an empty tuple clears it."""

    image: str
    name: str = ""  # empty: one is chosen
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    environment: Mapping[str, str] = MappingProxyType({})
    working_dir: str = ""
    user: str = ""  # user[:group], names or numbers
    hostname: str = ""
    terminal: bool = False  # -t
    open_stdin: bool = False  # -i
    auto_remove: bool = False  # --rm
    network: str = "bridge"  # bridge | none | host | the name of a network
    aliases: tuple[str, ...] = ()  # further names in that network
    address: str = ""  # in that network
    address6: str = ""
    mac: str = ""  # of its interface there
    endpoints: tuple[Endpoint, ...] = ()  # further networks
    ports: tuple[PortRequest, ...] = ()
    publish_all: bool = False  # also the ports that the image exposes
    exposed: tuple[str, ...] = ()  # "80/tcp", as the image's
    extra_hosts: tuple[tuple[str, str], ...] = ()  # (name, address)
    dns: Dns = Dns()
    mounts: tuple[Mount, ...] = ()
    read_only: bool = False
    shm_size: int = 64 << 20
    labels: Mapping[str, str] = MappingProxyType({})
    annotations: Mapping[str, str] = MappingProxyType({})  # kept for whoever inspects it
    resources: Resources = Resources()
    security: Security = Security()
    stop_signal: str = ""
    stop_timeout: int = 10  # seconds
    ulimits: tuple[str, ...] = ()  # as `kernel.rlimits.parse` reads them
    sysctls: Mapping[str, str] = MappingProxyType({})  # of the container's own namespaces
    devices: tuple[Device, ...] = ()
    device_rules: tuple[str, ...] = ()  # further devices that its control group allows: "c 188:* rmw"
    groups: tuple[str, ...] = ()  # further groups of the user
    oom_score: int | None = None  # oom_score_adj of proc(5)
    init: bool = False  # pid 1 is the engine's own, the command its child
    domainname: str = ""
    shared: Shared = Shared()
    healthcheck: Healthcheck | None = None  # None: the image's
    restart: str = "no"  # no | on-failure[:times] | always | unless-stopped
    log_driver: LogDriver = LogDriver.LOCAL
    log_options: Mapping[str, str] = MappingProxyType({})  # max-size in bytes, max-file, labels, env


class ExecSpec(NamedTuple):
    """A further process in a running container; empty fields are the container's own."""

    command: tuple[str, ...]
    environment: Mapping[str, str] = MappingProxyType({})
    working_dir: str = ""
    user: str = ""
    terminal: bool = False
    open_stdin: bool = False
    privileged: bool = False


class Stdio(NamedTuple):
    """Descriptors that the engine duplicates for the container's supervisor; the caller closes its own. `None`: not
    attached.
    """

    stdin: int | None = None
    stdout: int | None = None
    stderr: int | None = None


class ExitStatus(NamedTuple):
    """How a container ended: `code` as docker reports it (128+n for signal n), `oom` when the kernel's OOM killer
    struck it.
    """

    code: int
    oom: bool = False
    error: str = ""
