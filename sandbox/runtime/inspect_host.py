"""A container's settings in the shape of docker's `HostConfig` (Engine API). Pure.

Tools expect every field; one without a counterpart here has the value that docker gives where nothing was asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.runtime.plan import MASKED_PATHS, READ_ONLY_PATHS
from sandbox.runtime.spec import MountKind

if TYPE_CHECKING:
    from sandbox.runtime.config import ContainerConfig
    from sandbox.runtime.spec import ContainerSpec, Mount, Shared

_NANO = 1_000_000_000


def host_config(config: ContainerConfig) -> dict[str, Any]:
    """All of it but the network's fields."""
    spec = config.spec
    return {**_files(spec), **_resources(spec), **_namespaces(spec), **_life(config), **_rights(spec)}


def _life(config: ContainerConfig) -> dict[str, Any]:
    spec = config.spec
    name, _, times = spec.restart.partition(":")
    return {
        "AutoRemove": spec.auto_remove,
        "RestartPolicy": {"Name": name, "MaximumRetryCount": int(times or 0)},
        "Init": spec.init,
        "ConsoleSize": [0, 0],
        "Isolation": "",
        "Runtime": "hako",
        "Annotations": dict(spec.annotations) or None,
        "CgroupParent": "",
        "Links": None,
    }


def _files(spec: ContainerSpec) -> dict[str, Any]:
    binds = [mount for mount in spec.mounts if mount.kind is not MountKind.TMPFS and not mount.anonymous]
    return {
        "Binds": [_bind(mount) for mount in binds] or None,
        "ContainerIDFile": "",
        "VolumeDriver": "",
        "VolumesFrom": None,
        "Tmpfs": {mount.target: _tmpfs(mount) for mount in spec.mounts if mount.kind is MountKind.TMPFS},
        "ReadonlyRootfs": spec.read_only,
        "ShmSize": spec.shm_size,
        "DeviceCgroupRules": list(spec.device_rules) or None,
        "Devices": [
            {"PathOnHost": device.source, "PathInContainer": device.target, "CgroupPermissions": device.permissions}
            for device in spec.devices
        ],
    }


def _bind(mount: Mount) -> str:
    options = [
        *(["ro"] if mount.read_only else []),
        *(["rslave"] if mount.propagation == "slave" else []),
        *(["nocopy"] if not mount.copy else []),
    ]
    return f"{mount.source}:{mount.target}" + (f":{','.join(options)}" if options else "")


def _tmpfs(mount: Mount) -> str:
    size = [f"size={mount.size}"] if mount.size is not None else []
    return ",".join([*(["ro"] if mount.read_only else []), *size, *mount.options])


_DISK_KINDS = {
    "read_bps": "ReadBps",
    "write_bps": "WriteBps",
    "read_iops": "ReadIOps",
    "write_iops": "WriteIOps",
}


def _resources(spec: ContainerSpec) -> dict[str, Any]:
    from sandbox.kernel import rlimits  # noqa: PLC0415  (only for this)

    resources = spec.resources
    limits = [rlimits.parse(text) for text in spec.ulimits]
    return {
        "Memory": resources.memory or 0,
        "MemorySwap": resources.memory_swap or (2 * resources.memory if resources.memory else 0),
        "MemoryReservation": resources.memory_reservation or 0,
        "MemorySwappiness": resources.swappiness,
        "NanoCpus": int((resources.cpus or 0) * _NANO),
        "CpuShares": resources.cpu_shares or 0,
        "CpuPeriod": 0,
        "CpuQuota": 0,
        "CpuRealtimePeriod": 0,
        "CpuRealtimeRuntime": 0,
        "CpusetCpus": resources.cpuset_cpus,
        "CpusetMems": resources.cpuset_mems,
        "PidsLimit": resources.pids,
        "OomKillDisable": resources.oom_kill_disable,
        "OomScoreAdj": spec.oom_score or 0,
        "BlkioWeight": resources.blkio_weight or 0,
        "BlkioWeightDevice": [
            {"Path": rate.path, "Weight": rate.rate} for rate in resources.disk_rates if rate.kind == "weight"
        ],
        **{
            f"BlkioDevice{key}": [
                {"Path": rate.path, "Rate": rate.rate} for rate in resources.disk_rates if rate.kind == kind
            ]
            for kind, key in _DISK_KINDS.items()
        },
        "Ulimits": [{"Name": limit.name, "Soft": limit.soft, "Hard": limit.hard} for limit in limits],
    }


def _ipc_mode(shared: Shared) -> str:
    if shared.ipc_container:
        return f"container:{shared.ipc_container}"
    if shared.no_memory:
        return "none"
    return "host" if shared.ipc else "shareable" if shared.ipc_shareable else "private"


def _host(shared: bool) -> str:
    return "host" if shared else ""


def _namespaces(spec: ContainerSpec) -> dict[str, Any]:
    return {
        "CgroupnsMode": "host" if spec.shared.cgroup else "private",
        "IpcMode": _ipc_mode(spec.shared),
        "PidMode": f"container:{spec.shared.pid_container}" if spec.shared.pid_container else _host(spec.shared.pid),
        "UTSMode": _host(spec.shared.uts),
        "UsernsMode": _host(spec.shared.user),
        "Sysctls": dict(spec.sysctls) or None,
    }


def _rights(spec: ContainerSpec) -> dict[str, Any]:
    security = spec.security
    seccomp = [] if security.seccomp == "default" else [f"seccomp={security.seccomp}"]
    return {
        "CapAdd": list(security.capabilities_add) or None,
        "CapDrop": list(security.capabilities_drop) or None,
        "GroupAdd": list(spec.groups) or None,
        "Privileged": security.privileged,
        "SecurityOpt": [*(["no-new-privileges"] if security.no_new_privileges else []), *seccomp],
        "MaskedPaths": [] if security.privileged else list(MASKED_PATHS),
        "ReadonlyPaths": [] if security.privileged else list(READ_ONLY_PATHS),
    }
