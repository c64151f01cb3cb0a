"""`RUN --mount=type=…`: one option's text to a typed record.

The parser reads mounts without variables to find mistakes; the builder reads them again with the variables of their
stage. Fields are comma-separated with CSV's quotes. Options and their defaults: "RUN --mount" in docker's Dockerfile
reference.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from sandbox.dockerfile.diagnostics import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

_Choice = TypeVar("_Choice", bound=StrEnum)

_SIZE_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_TRUE, _FALSE = ("1", "t", "true"), ("0", "f", "false")
_ALIASES = {
    "src": "source",
    "dst": "target",
    "destination": "target",
    "ro": "readonly",
    "rw": "readwrite",
}
_NAMES: tuple[str, ...] = ("type", "from", "source", "target", "readonly", "readwrite", "required")
_NAMES += ("id", "sharing", "mode", "uid", "gid", "size", "env")
_KEYS = {name: name for name in _NAMES} | _ALIASES


class MountType(StrEnum):
    """What a mount shows."""

    BIND = "bind"
    CACHE = "cache"
    TMPFS = "tmpfs"
    SECRET = "secret"  # noqa: S105  the kind of a mount
    SSH = "ssh"


class Sharing(StrEnum):
    """Who may use a cache mount while another does."""

    SHARED = "shared"
    PRIVATE = "private"
    LOCKED = "locked"


class MountError(ValueError):
    """A mount's text is not right; `hint` may say what was meant."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One mount of a RUN.

    `origin` is `from`: a stage, context or image. `id` names a cache, secret or agent. `mode` is octal's value; None in
    `mode`, `uid`, `gid` and `size` (bytes) stands for the type's default. `env` names the variable that a secret is
    put into.
    """

    type: MountType = MountType.BIND
    origin: str = ""
    source: str = ""
    target: str = ""
    read_only: bool = True
    required: bool = False
    id: str = ""
    sharing: Sharing = Sharing.SHARED
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int | None = None
    env: str | None = None


def parse_mount(text: str, expand: Callable[[str], str]) -> Mount:
    """A mount's text as a record, each value expanded first. MountError names the option."""
    values = _values(text, expand)
    kind = _choice(MountType, "type", values.get("type", "bind"))
    _check_allowed(kind, values)
    read_only = kind not in (MountType.CACHE, MountType.TMPFS)
    if "readwrite" in values:
        read_only = not _boolean("readwrite", values["readwrite"])
    if "readonly" in values:
        read_only = _boolean("readonly", values["readonly"])
    return Mount(
        type=kind,
        origin=values.get("from", ""),
        source=values.get("source", ""),
        target=values.get("target", ""),
        read_only=read_only,
        required="required" in values and _boolean("required", values["required"]),
        id=values.get("id", ""),
        sharing=_choice(Sharing, "sharing", values.get("sharing", "shared")),
        mode=_number("mode", values, 8),
        uid=_number("uid", values, 10),
        gid=_number("gid", values, 10),
        size=_size(values["size"]) if "size" in values else None,
        env=values.get("env"),
    )


def _values(text: str, expand: Callable[[str], str]) -> dict[str, str]:
    try:
        fields = next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise MountError(f"cannot read the mount {text!r}: {error}") from None
    values: dict[str, str] = {}
    for field in fields:
        written, separator, value = field.partition("=")
        key = _KEYS.get(written.lower())
        if key is None:
            raise MountError(f"unknown mount option {written!r}", did_you_mean(written, _KEYS))
        if not separator and key not in ("readonly", "readwrite", "required"):
            raise MountError(f"mount option {written!r} has no value", f"write {written}=VALUE")
        if key == "from" and "$" in value:
            raise MountError(
                "the mount option from cannot hold variables",
                "name a stage FROM the variable's image, and use its name",
            )
        values[key] = expand(value) if separator else "true"
    return values


def _check_allowed(kind: MountType, values: dict[str, str]) -> None:
    allowed = {
        MountType.BIND: {"from", "source", "target", "readonly", "readwrite"},
        MountType.CACHE: {"id", "from", "source", "target", "readonly", "readwrite", "sharing", "mode", "uid", "gid"},
        MountType.TMPFS: {"target", "size", "readonly", "readwrite"},
        MountType.SECRET: {"id", "source", "target", "required", "mode", "uid", "gid", "env", "readonly", "readwrite"},
        MountType.SSH: {"id", "target", "required", "mode", "uid", "gid", "readonly", "readwrite"},
    }[kind]
    for key in values:
        if key not in allowed | {"type"}:
            raise MountError(f"a {kind} mount has no option {key}")
    if kind in (MountType.BIND, MountType.CACHE, MountType.TMPFS) and not values.get("target"):
        raise MountError(f"a {kind} mount needs a target", "add target=/path")
    if kind is MountType.SECRET and not (values.get("id") or values.get("source") or values.get("target")):
        raise MountError("a secret mount needs an id or a target", "add id=NAME")
    if kind is MountType.SECRET and values.get("id") and values.get("source"):
        raise MountError("a secret mount has either id or source")


def _choice(kind: type[_Choice], key: str, value: str) -> _Choice:
    try:
        return kind(value.lower())
    except ValueError:
        choices = ", ".join(kind)
        raise MountError(
            f"unsupported {key} {value!r} of a mount", did_you_mean(value, kind) or f"it is one of {choices}"
        ) from None


def _boolean(key: str, value: str) -> bool:
    if value.lower() not in _TRUE + _FALSE:
        raise MountError(f"mount option {key} is true or false, not {value!r}")
    return value.lower() in _TRUE


def _number(key: str, values: dict[str, str], base: int) -> int | None:
    value = values.get(key)
    if value is None:
        return None
    digits = "01234567" if base == 8 else "0123456789"
    if not value or len(value) > 10 or set(value) - set(digits):
        raise MountError(f"mount option {key} is {'an octal' if base == 8 else 'a'} number, not {value!r}")
    return int(value, base)


def _size(value: str) -> int:
    lower = value.strip().lower()
    figures = lower.rstrip("bkmgti")
    unit = lower[len(figures) :].strip()
    short = unit.removesuffix("ib").removesuffix("b") if unit not in ("", "b") else unit
    if short not in _SIZE_UNITS or not figures.replace(".", "", 1).strip().isdecimal() or len(figures) > 18:
        raise MountError(f"mount option size is a size such as 64m, not {value!r}")
    return int(float(figures) * _SIZE_UNITS[short])
