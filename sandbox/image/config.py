"""What an image says about running it: the `config` object of an OCI image configuration, both ways.

Read on every `sandbox run`, so only this one record is made here. Input may come from anybody's image: each field is
checked, and none of them is trusted as anything but a value (CVE-2026-53488). Fields that are not known are kept and
written back. Source: OCI image-spec config.md; `Healthcheck`, `Shell` and `OnBuild` are Docker's.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sandbox.errors import InvalidError
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Healthcheck(NamedTuple):
    """Docker's HEALTHCHECK; durations in nanoseconds, 0 is the default."""

    test: tuple[str, ...] = ()  # ("CMD", …) | ("CMD-SHELL", text) | ("NONE",)
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class ImageConfig(NamedTuple):
    """How a container of the image starts, unless its caller says otherwise. An empty value is the same as none."""

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = MappingProxyType({})  # in the image's order
    user: str = ""
    working_dir: str = ""
    labels: Mapping[str, str] = MappingProxyType({})
    exposed_ports: tuple[str, ...] = ()  # "80/tcp"
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""
    shell: tuple[str, ...] = ()
    on_build: tuple[str, ...] = ()
    healthcheck: Healthcheck | None = None
    unknown: Mapping[str, Any] = MappingProxyType({})  # fields of the JSON that are none of these


_KNOWN = frozenset(
    (
        *("Entrypoint", "Cmd", "Env", "User", "WorkingDir", "Labels"),
        *("ExposedPorts", "Volumes", "StopSignal", "Shell", "OnBuild", "Healthcheck"),
    )
)


def parse(data: object) -> ImageConfig:
    """The record of a decoded `config` object (`None` is an empty one). Raises InvalidError that names the field."""
    if data is None:
        return ImageConfig()
    if not isinstance(data, dict):
        raise _invalid("config", "an object")
    return ImageConfig(
        entrypoint=_strings(data, "Entrypoint"),
        command=_strings(data, "Cmd"),
        environment=_environment(_strings(data, "Env")),
        user=_string(data, "User"),
        working_dir=_string(data, "WorkingDir"),
        labels=_labels(data),
        exposed_ports=_keys(data, "ExposedPorts"),
        volumes=_keys(data, "Volumes"),
        stop_signal=_string(data, "StopSignal"),
        shell=_strings(data, "Shell"),
        on_build=_strings(data, "OnBuild"),
        healthcheck=_healthcheck(data.get("Healthcheck")),
        unknown={key: value for key, value in data.items() if key not in _KNOWN},
    )


def dump(config: ImageConfig) -> dict[str, Any]:
    """The `config` object of a record; what is empty is left out."""
    fields: dict[str, Any] = {
        "Entrypoint": list(config.entrypoint),
        "Cmd": list(config.command),
        "Env": [f"{name}={value}" for name, value in config.environment.items()],
        "User": config.user,
        "WorkingDir": config.working_dir,
        "Labels": dict(config.labels),
        "ExposedPorts": {port: {} for port in config.exposed_ports},
        "Volumes": {path: {} for path in config.volumes},
        "StopSignal": config.stop_signal,
        "Shell": list(config.shell),
        "OnBuild": list(config.on_build),
        "Healthcheck": _dump_healthcheck(config.healthcheck),
    }
    return {**config.unknown, **{key: value for key, value in fields.items() if value}}


def _healthcheck(data: object) -> Healthcheck | None:
    if data is None:
        return None
    if not isinstance(data, dict):
        raise _invalid("Healthcheck", "an object")
    return Healthcheck(
        test=_strings(data, "Test"),
        interval=_integer(data, "Interval"),
        timeout=_integer(data, "Timeout"),
        start_period=_integer(data, "StartPeriod"),
        start_interval=_integer(data, "StartInterval"),
        retries=_integer(data, "Retries"),
    )


def _dump_healthcheck(check: Healthcheck | None) -> dict[str, Any]:
    if check is None:
        return {}
    fields: dict[str, Any] = {
        "Test": list(check.test),
        "Interval": check.interval,
        "Timeout": check.timeout,
        "StartPeriod": check.start_period,
        "StartInterval": check.start_interval,
        "Retries": check.retries,
    }
    return {key: value for key, value in fields.items() if value}


def _environment(entries: Iterable[str]) -> dict[str, str]:
    """`NAME=value` entries; the last of a name counts, one without `=` is empty, as docker starts containers."""
    result: dict[str, str] = {}
    for entry in entries:
        name, _, value = entry.partition("=")
        if not name or "\0" in entry:
            raise _invalid("Env", "a list of NAME=value")
        result[name] = value
    return result


def _strings(data: dict[str, Any], key: str) -> tuple[str, ...]:
    value = data.get(key)
    if value is None:
        return ()
    if isinstance(value, str) and key in ("Entrypoint", "Cmd"):  # written so by very old builders
        return (value,)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _invalid(key, "a list of strings")
    return tuple(value)


def _string(data: dict[str, Any], key: str) -> str:
    value = data.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _invalid(key, "a string")
    return value


def _integer(data: dict[str, Any], key: str) -> int:
    value = data.get(key)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool):
        raise _invalid(key, "a whole number")
    return value


def _keys(data: dict[str, Any], key: str) -> tuple[str, ...]:
    value = data.get(key)
    if value is None:
        return ()
    if not isinstance(value, dict):
        raise _invalid(key, "an object")
    return tuple(value)


def _labels(data: dict[str, Any]) -> dict[str, str]:
    value = data.get("Labels")
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise _invalid("Labels", "an object of strings")
    return dict(value)


def _invalid(field_name: str, wanted: str) -> InvalidError:
    return InvalidError(f"image config: {field_name} is not {wanted}", reference="invalid-image-config")
