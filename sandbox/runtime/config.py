"""A container as it was created: the caller's specification with the image's defaults merged in.

`resolve` is pure; the engine writes its result to `config.json` once and never changes it. The supervisor starts the
container from that file alone, so an image may lose its names, or the engine be another process, between create and
start. Merging follows docker: an entrypoint of the caller's drops the image's command, the image's environment comes
first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.errors import InvalidError
from sandbox.records import NamedTuple
from sandbox.runtime.spec import (
    ContainerSpec,
    Device,
    DiskRate,
    Dns,
    Endpoint,
    LogDriver,
    Mount,
    MountKind,
    Resources,
    Security,
    Shared,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.image.config import Healthcheck
    from sandbox.image.image import Image

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_STOP_SIGNAL = "SIGTERM"


class ContainerConfig(NamedTuple):
    """`layers` are ChainIDs, top first; `environment` is a tuple of NAME=value; `created` is in seconds since the
    epoch.
    """

    id: str
    name: str
    created: float
    image_id: str
    layers: tuple[str, ...]
    argv: tuple[str, ...]
    environment: tuple[str, ...]
    working_dir: str
    user: str
    hostname: str
    stop_signal: str
    spec: ContainerSpec
    healthcheck: Healthcheck | None = None
    entrypoint: tuple[str, ...] = ()  # what of `argv` is the entrypoint

    def to_json(self) -> dict[str, Any]:
        """The shape of `config.json`."""
        check = self.healthcheck
        return self._asdict() | {
            "spec": _spec_to_json(self.spec),
            "healthcheck": None if check is None else check._asdict(),
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> ContainerConfig:
        """Read what `to_json` wrote."""
        lists = {name: tuple(data[name]) for name in ("layers", "argv", "environment")}
        lists["entrypoint"] = tuple(data.get("entrypoint", ()))
        check = _healthcheck_from_json(data.get("healthcheck"))
        return ContainerConfig(**(data | lists | {"spec": _spec_from_json(data["spec"]), "healthcheck": check}))


def resolve(spec: ContainerSpec, image: Image, *, identifier: str, name: str, created: float) -> ContainerConfig:
    """Merge what the caller asked for with the image's defaults; refuse what cannot be run."""
    entrypoint = spec.entrypoint if spec.entrypoint is not None else tuple(image.config.entrypoint)
    command = spec.command
    if command is None:
        command = () if spec.entrypoint is not None else tuple(image.config.command)
    argv = entrypoint + command
    if not argv:
        raise InvalidError(
            f"no command given, and the image {spec.image!r} has none",
            hint="name a command after the image",
            reference="no-command",
        )
    if image.config.labels:
        spec = spec._replace(labels={**image.config.labels, **spec.labels})
    hostname = spec.hostname or identifier[:12]
    working_dir = spec.working_dir or image.config.working_dir or "/"
    if not working_dir.startswith("/"):
        raise InvalidError(f"working directory {working_dir!r} is not absolute", hint="begin it with /")
    for mount in spec.mounts:
        if not mount.target.startswith("/"):
            raise InvalidError(f"mount target {mount.target!r} is not absolute", hint="begin it with /")
    if spec.sysctls:
        from sandbox.runtime import parameters  # noqa: PLC0415  (few containers have any)

        parameters.check(spec)
    for text in (*argv, *spec.environment, *spec.environment.values(), working_dir, hostname):
        if "\0" in text:
            raise InvalidError(f"{text!r} contains a NUL byte", hint="remove it")
    return ContainerConfig(
        id=identifier,
        name=name,
        created=created,
        image_id=str(image.id),
        layers=tuple(str(layer.chain_id) for layer in reversed(image.layers)),
        argv=argv,
        environment=_environment(spec, image.config.environment, hostname),
        working_dir=working_dir,
        user=spec.user or image.config.user,
        hostname=hostname,
        stop_signal=spec.stop_signal or image.config.stop_signal or DEFAULT_STOP_SIGNAL,
        entrypoint=entrypoint,
        spec=_with_exposed(spec, image) if spec.publish_all or image.config.exposed_ports else spec,
        healthcheck=_healthcheck(spec.healthcheck, image.config.healthcheck),
    )


def _healthcheck(ours: Healthcheck | None, image: Healthcheck | None) -> Healthcheck | None:
    """The caller's, with the image's for what it leaves out; none where its test is `NONE`."""
    if ours is None or image is None:
        check = ours or image
    else:
        check = image._replace(**{name: value for name, value in ours._asdict().items() if value})
    return None if check is None or not check.test or check.test[0] == "NONE" else check


def _with_exposed(spec: ContainerSpec, image: Image) -> ContainerSpec:
    """What the image exposes is exposed; with `publish_all` it is published at any free port of the host, unless it is
    published already.
    """
    exposed = tuple(dict.fromkeys((*image.config.exposed_ports, *spec.exposed)))
    if not spec.publish_all:
        return spec._replace(exposed=exposed)
    from sandbox.network.records import PortRequest  # noqa: PLC0415  (few containers publish ports)

    asked = {(port.container, port.protocol) for port in spec.ports}
    wanted = []
    for text in exposed:
        number, _, protocol = text.partition("/")
        if number.isdigit() and (int(number), protocol or "tcp") not in asked:
            wanted.append(PortRequest(int(number), protocol or "tcp"))
    return spec._replace(exposed=exposed, ports=(*spec.ports, *wanted))


def _environment(spec: ContainerSpec, image: Mapping[str, str], hostname: str) -> tuple[str, ...]:
    merged = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname}
    if spec.terminal:
        merged["TERM"] = "xterm"
    merged.update(image)
    merged.update(spec.environment)
    return tuple(f"{name}={value}" for name, value in merged.items())


def _healthcheck_from_json(data: dict[str, Any] | None) -> Healthcheck | None:
    if data is None:
        return None
    from sandbox.image.config import Healthcheck  # noqa: PLC0415  (few containers have any)

    return Healthcheck(**(data | {"test": tuple(data["test"])}))


def _resources_from_json(data: dict[str, Any]) -> Resources:
    return Resources(**(data | {"disk_rates": tuple(DiskRate(*rate) for rate in data.get("disk_rates", ()))}))


_MAPPINGS = ("environment", "labels", "annotations", "sysctls", "log_options")
_TUPLES = ("entrypoint", "command", "aliases", "ulimits", "groups", "device_rules")


def _spec_to_json(spec: ContainerSpec) -> dict[str, Any]:
    return spec._asdict() | {
        **{name: dict(getattr(spec, name)) for name in _MAPPINGS},
        "mounts": [mount._asdict() for mount in spec.mounts],
        "shared": spec.shared._asdict(),
        "devices": [device._asdict() for device in spec.devices],
        "healthcheck": None if spec.healthcheck is None else spec.healthcheck._asdict(),
        "resources": spec.resources._asdict(),
        "security": spec.security._asdict(),
    }


def _mount_from_json(data: dict[str, Any]) -> Mount:
    return Mount(**(data | {"kind": MountKind(data["kind"]), "options": tuple(data.get("options", ()))}))


def _spec_from_json(data: dict[str, Any]) -> ContainerSpec:
    """Read back; a field that a former version did not write has its default."""
    security = data["security"]
    ports = data.get("ports", ())
    if ports:
        from sandbox.network.records import PortRequest  # noqa: PLC0415  (few containers publish ports)

        ports = [PortRequest(*port) for port in ports]
    lists = ("capabilities_add", "capabilities_drop")
    return ContainerSpec(
        **(
            data
            | {name: tuple(data[name]) for name in _TUPLES if data.get(name) is not None}
            | {
                "endpoints": tuple(Endpoint(one[0], tuple(one[1]), *one[2:]) for one in data.get("endpoints", ())),
                "ports": tuple(ports),
                "exposed": tuple(data.get("exposed", ())),
                "dns": Dns(*map(tuple, data.get("dns", ()))),
                "extra_hosts": tuple((name, address) for name, address in data["extra_hosts"]),
                "mounts": tuple(map(_mount_from_json, data["mounts"])),
                "shared": Shared(**data.get("shared", {})),
                "devices": tuple(Device(**device) for device in data.get("devices", ())),
                "healthcheck": _healthcheck_from_json(data.get("healthcheck")),
                "resources": _resources_from_json(data["resources"]),
                "security": Security(**(security | {name: tuple(security[name]) for name in lists})),
                "log_driver": LogDriver(data["log_driver"]),
            }
        )
    )
