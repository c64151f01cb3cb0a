"""A container in the shape of docker's `inspect`. Pure.

Tools read these field names, so they are docker's (Engine API, ContainerInspectResponse). A field that has no meaning
here is left out rather than made up.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sandbox.runtime.inspect_host import host_config
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
            "Status": _status(state),
            "Running": state.status is Status.RUNNING,
            "Paused": state.paused,
            "Restarting": state.restarting,
            "OOMKilled": state.oom,
            "Dead": False,
            "Pid": state.pid if state.status is Status.RUNNING else 0,
            "ExitCode": state.exit_code,
            "Error": state.error,
            "StartedAt": moment(state.started),
            "FinishedAt": moment(state.finished),
            **_health(state),
        },
        "Image": config.image_id,
        "ResolvConfPath": str(folder / "resolv.conf"),
        "HostnamePath": str(folder / "hostname"),
        "HostsPath": str(folder / "hosts"),
        "LogPath": str(folder / "log"),
        "Name": f"/{config.name}",
        "RestartCount": state.restart_count,
        "Driver": "overlay",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": None,
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
            "Domainname": spec.domainname,
            "User": config.user,
            "AttachStdin": False,
            "AttachStdout": False,
            "AttachStderr": False,
            "StdinOnce": spec.open_stdin,
            "Volumes": {mount.target: {} for mount in spec.mounts if mount.anonymous} or None,
            "Tty": spec.terminal,
            "OpenStdin": spec.open_stdin,
            "ExposedPorts": {port: {} for port in spec.exposed},
            "Env": list(config.environment),
            "Cmd": list(config.argv[len(config.entrypoint) :]),
            "Entrypoint": list(config.entrypoint) or None,
            "Image": spec.image,
            "WorkingDir": config.working_dir,
            "Labels": dict(spec.labels),
            "StopSignal": config.stop_signal,
            "StopTimeout": spec.stop_timeout,
            **_healthcheck(config),
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
    return host_config(config) | {
        "LogConfig": {"Type": str(spec.log_driver), "Config": dict(spec.log_options)},
        "NetworkMode": spec.network,
        "PortBindings": _bindings(spec.ports),
        "PublishAllPorts": spec.publish_all,
        "ExtraHosts": [f"{name}:{address}" for name, address in spec.extra_hosts],
        "Dns": list(spec.dns.servers),
        "DnsSearch": list(spec.dns.search),
        "DnsOptions": list(spec.dns.options),
    }


def _status(state: State) -> str:
    if state.paused:
        return "paused"
    return "restarting" if state.restarting else str(state.status)


def _health(state: State) -> dict[str, Any]:
    """Docker's shape, which is left out where there is no healthcheck."""
    if state.health is None:
        return {}
    results = [one | {"Start": moment(one["Start"]), "End": moment(one["End"])} for one in state.health["Log"]]
    return {"Health": state.health | {"Log": results}}


def _healthcheck(config: ContainerConfig) -> dict[str, Any]:
    check = config.healthcheck
    if check is None:
        return {}
    times = {"Interval": check.interval, "Timeout": check.timeout, "StartPeriod": check.start_period}
    return {"Healthcheck": {"Test": list(check.test), **times, "Retries": check.retries}}


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
        "Propagation": "rslave" if mount.propagation == "slave" else "rprivate" if not named else "",
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
