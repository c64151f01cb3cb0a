"""A container in the shape of docker's `inspect`. Pure.

Tools read these field names, so they are docker's (Engine API, ContainerInspectResponse). A field that has no meaning
here is left out rather than made up.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sandbox.runtime.spec import MountKind
from sandbox.runtime.state import Status

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.network.records import Attachment, PortRequest
    from sandbox.runtime.config import ContainerConfig
    from sandbox.runtime.spec import Mount
    from sandbox.runtime.state import State

_NEVER = "0001-01-01T00:00:00Z"


def describe(config: ContainerConfig, state: State, folder: Path) -> dict[str, Any]:
    """The whole answer for one container."""
    spec = config.spec
    return {
        "Id": config.id,
        "Created": moment(config.created),
        "Path": config.argv[0],
        "Args": list(config.argv[1:]),
        "State": {
            "Status": "paused" if state.paused else str(state.status),
            "Running": state.status is Status.RUNNING,
            "Paused": state.paused,
            "Restarting": False,
            "OOMKilled": state.oom,
            "Dead": False,
            "Pid": state.pid if state.status is Status.RUNNING else 0,
            "ExitCode": state.exit_code,
            "Error": state.error,
            "StartedAt": moment(state.started),
            "FinishedAt": moment(state.finished),
        },
        "Image": config.image_id,
        "ResolvConfPath": str(folder / "resolv.conf"),
        "HostnamePath": str(folder / "hostname"),
        "HostsPath": str(folder / "hosts"),
        "LogPath": str(folder / "log"),
        "Name": f"/{config.name}",
        "RestartCount": 0,
        "Driver": "overlay",
        "Platform": "linux",
        "HostConfig": _host_config(config),
        "GraphDriver": {
            "Name": "overlay",
            "Data": {
                "UpperDir": str(folder / "upper"),
                "WorkDir": str(folder / "work"),
                "Layers": list(config.layers),
            },
        },
        "Mounts": [_mount(mount, folder) for mount in spec.mounts],
        "Config": {
            "Hostname": config.hostname,
            "User": config.user,
            "Tty": spec.terminal,
            "OpenStdin": spec.open_stdin,
            "ExposedPorts": {port: {} for port in spec.exposed},
            "Env": list(config.environment),
            "Cmd": list(config.argv) if spec.entrypoint is None else list(spec.command or ()),
            "Entrypoint": list(spec.entrypoint) if spec.entrypoint is not None else None,
            "Image": spec.image,
            "WorkingDir": config.working_dir,
            "Labels": dict(spec.labels),
            "StopSignal": config.stop_signal,
            "StopTimeout": spec.stop_timeout,
        },
        "NetworkSettings": _network_settings(config, state),
        "Hako": {"IdBase": state.id_base, "Cgroup": state.cgroup, "Warnings": list(state.warnings)},
    }


def moment(seconds: float) -> str:
    """RFC 3339 in UTC with microseconds; docker's zero time for 0."""
    if not seconds:
        return _NEVER
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _host_config(config: ContainerConfig) -> dict[str, Any]:
    spec = config.spec
    return {
        "Binds": [_bind_text(mount) for mount in spec.mounts if mount.kind is not MountKind.TMPFS],
        "LogConfig": {"Type": str(spec.log_driver), "Config": {}},
        "NetworkMode": spec.network,
        "PortBindings": _bindings(spec.ports),
        "PublishAllPorts": spec.publish_all,
        "AutoRemove": spec.auto_remove,
        "CapAdd": list(spec.security.capabilities_add) or None,
        "CapDrop": list(spec.security.capabilities_drop) or None,
        "ExtraHosts": [f"{name}:{address}" for name, address in spec.extra_hosts],
        "Privileged": spec.security.privileged,
        "ReadonlyRootfs": spec.read_only,
        "SecurityOpt": ["no-new-privileges"] if spec.security.no_new_privileges else [],
        "ShmSize": spec.shm_size,
        "Memory": spec.resources.memory or 0,
        "NanoCpus": int((spec.resources.cpus or 0) * 1_000_000_000),
        "PidsLimit": spec.resources.pids,
    }


def _bind_text(mount: Mount) -> str:
    return f"{mount.source}:{mount.target}" + (":ro" if mount.read_only else "")


def _mount(mount: Mount, folder: Path) -> dict[str, Any]:
    named: dict[str, Any] = {}
    source = mount.source
    if mount.kind is MountKind.VOLUME:
        named = {"Name": mount.source, "Driver": "local"}
        source = str(folder.parent.parent / "volumes" / mount.source / "data")
    return {
        "Type": str(mount.kind),
        **named,
        "Source": source,
        "Destination": mount.target,
        "Mode": "ro" if mount.read_only else "",
        "RW": not mount.read_only,
    }


def _network_settings(config: ContainerConfig, state: State) -> dict[str, Any]:
    address, _, prefix = state.address.partition("/")
    first = {
        "IPAddress": address,
        "IPPrefixLen": int(prefix) if prefix else 0,
        "Gateway": state.gateway,
        "MacAddress": state.mac,
    }
    networks = {one.network: _endpoint(one) for one in state.attachments}
    if not networks:  # it does not run
        aliases = {"Aliases": [config.name, *config.spec.aliases]}
        networks = {config.spec.network: first | aliases}
        networks |= {one.network: {"Aliases": [config.name, *one.aliases]} for one in config.spec.endpoints}
    return {"Ports": _ports(config, state)} | first | {"Networks": networks}


def _endpoint(one: Attachment) -> dict[str, Any]:
    return {
        "IPAddress": one.address,
        "IPPrefixLen": one.length,
        "Gateway": one.gateway,
        "GlobalIPv6Address": one.address6,
        "GlobalIPv6PrefixLen": one.length6 if one.address6 else 0,
        "IPv6Gateway": one.gateway6,
        "MacAddress": one.mac,
        "Aliases": list(one.names[1:]),
        "DNSNames": list(one.names),
    }


def _ports(config: ContainerConfig, state: State) -> dict[str, Any]:
    found: dict[str, Any] = dict.fromkeys(config.spec.exposed)
    for one in state.attachments:
        for port in one.ports:
            bindings = found.get(f"{port.container}/{port.protocol}") or []
            binding = {"HostIp": port.address or "0.0.0.0", "HostPort": str(port.port)}  # noqa: S104
            found[f"{port.container}/{port.protocol}"] = [*bindings, binding]
    return found


def _bindings(requests: tuple[PortRequest, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in requests:
        wanted = "" if not one.first else str(one.first) if one.first == one.last else f"{one.first}-{one.last}"
        binding = {"HostIp": one.address, "HostPort": wanted}
        found.setdefault(f"{one.container}/{one.protocol}", []).append(binding)
    return found
