"""Values as people write them in options: sizes, environment, volumes, labels, hosts. Pure.

Docker's notations (docker/go-units, docker/cli `opts`); each function raises UsageError that names the option and the
value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.cli.options import UsageError
from sandbox.runtime.spec import Mount, MountKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_IGNORED_VOLUME_OPTIONS = frozenset(("rw", "z", "Z", "rprivate", "private"))  # what a mount is anyway, and SELinux's
_IGNORED_TMPFS_OPTIONS = frozenset(("rw", "noexec", "nosuid", "nodev"))


def size(text: str, option: str) -> int:
    """Bytes of `64m`, `1.5g`, `512k`, `1024`, `2GiB`; units are powers of 1024."""
    lower = text.strip().lower()
    number = lower.rstrip("bkmgtpi")
    unit = lower[len(number) :]
    short = unit[:1] if unit in ("b", *(f"{letter}{rest}" for letter in "kmgtp" for rest in ("", "b", "ib"))) else unit
    figures = number.strip().replace(".", "", 1)
    if short not in _UNITS or not (figures.isascii() and figures.isdigit()):
        raise UsageError(f"{option} {text!r} is not a size", hint="write bytes, or a number with k, m or g: 64m")
    return int(float(number) * _UNITS[short])


def processors(text: str, option: str) -> float:
    """A number of processors, such as 0.5."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.01 <= value < 1e6:  # docker's least; the comparison also refuses nan
        raise UsageError(f"{option} {text!r} is not a number of processors", hint="such as 0.5 or 2")
    return value


def environment(entries: Iterable[str], option: str, ours: Mapping[str, str]) -> dict[str, str]:
    """`NAME=value`; a NAME alone takes the value of `ours`, and is left out where there is none."""
    result: dict[str, str] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not name:
            raise UsageError(f"{option} {entry!r} has no name before the =")
        if equals:
            result[name] = value
        elif name in ours:
            result[name] = ours[name]
    return result


def labels(entries: Iterable[str], option: str) -> dict[str, str]:
    """`NAME=value`, or a NAME with an empty value."""
    result: dict[str, str] = {}
    for entry in entries:
        name, _, value = entry.partition("=")
        if not name:
            raise UsageError(f"{option} {entry!r} has no name")
        result[name] = value
    return result


def has_label(labels: Mapping[str, str], wanted: str) -> bool:
    """Whether a filter's `NAME` or `NAME=value` fits."""
    name, equals, value = wanted.partition("=")
    return name in labels and (not equals or labels[name] == value)


def host(text: str, option: str) -> tuple[str, str]:
    """`NAME:ADDRESS` (or with `=`, or an IPv6 address in brackets) as (name, address)."""
    import ipaddress  # noqa: PLC0415  (a millisecond that few lines need)

    name, separator, address = text.partition("=")
    if not separator:
        name, separator, address = text.partition(":")
    address = address.removeprefix("[").removesuffix("]")
    try:
        parsed = str(ipaddress.ip_address(address))
    except ValueError:
        parsed = ""
    if not name or not parsed:
        raise UsageError(f"{option} {text!r} is not a name and an address", hint="such as db:10.0.0.7")
    return name, parsed


def volume(text: str, option: str, resolve: Callable[[str], str]) -> Mount:
    """`HOST:CONTAINER[:ro]`, where HOST is a path (absolute, or relative with a leading `.`) or a volume's name;
    `CONTAINER` alone is a volume without a name.

    `resolve` makes a relative path absolute.
    """
    source, colon, rest = text.partition(":")
    target, _, options = rest.partition(":")
    if not colon:
        return _mount(MountKind.VOLUME, "", text, f"{option} {text!r}", resolve, read_only=False)
    if not source or not target:
        raise UsageError(f"{option} {text!r} is not HOST:CONTAINER[:ro]")
    read_only = False
    for word in options.split(",") if options else ():
        if word == "ro":
            read_only = True
        elif word not in _IGNORED_VOLUME_OPTIONS:
            raise UsageError(f"{option} {text!r}: unknown mode {word!r}", hint="ro or rw")
    kind = MountKind.BIND if source[0] in "/." else MountKind.VOLUME
    return _mount(kind, source, target, f"{option} {text!r}", resolve, read_only=read_only)


def mount(text: str, option: str, resolve: Callable[[str], str]) -> Mount:
    """Docker's long form: `type=bind,source=/a,target=/b,readonly`, `type=volume,…`, `type=tmpfs,target=/t`."""
    fields: dict[str, str] = {}
    for word in text.split(","):
        key, equals, value = word.partition("=")
        key = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}.get(key, key)
        if key not in ("type", "source", "target", "readonly", "tmpfs-size"):
            raise UsageError(
                f"{option} {text!r}: unknown field {key!r}", hint="type, source, target, readonly, tmpfs-size"
            )
        fields[key] = value if equals else "true"
    kind = fields.get("type", "volume")
    if kind not in list(MountKind):
        raise UsageError(f"{option} {text!r}: unknown type {kind!r}", hint="bind, volume or tmpfs")
    if not fields.get("target"):
        raise UsageError(f"{option} {text!r} has no target", hint="add target=/path")
    source = fields.get("source", "")
    if source and kind == MountKind.TMPFS:
        raise UsageError(f"{option} {text!r}: tmpfs has no source")
    if not source and kind == MountKind.BIND:
        raise UsageError(f"{option} {text!r}: bind needs a source")
    return _mount(
        MountKind(kind),
        source,
        fields["target"],
        f"{option} {text!r}",
        resolve,
        read_only=fields.get("readonly", "false") in ("true", "1"),
        limit=size(fields["tmpfs-size"], f"{option} tmpfs-size") if "tmpfs-size" in fields else None,
    )


def tmpfs(text: str, option: str) -> Mount:
    """`/path[:size=64m,ro]`."""
    target, _, options = text.partition(":")
    read_only, limit = False, None
    for word in options.split(",") if options else ():
        key, _, value = word.partition("=")
        if key == "size":
            limit = size(value, f"{option} size")
        elif word == "ro":
            read_only = True
        elif word not in _IGNORED_TMPFS_OPTIONS:
            raise UsageError(f"{option} {text!r}: unknown option {word!r}", hint="size=64m, ro")
    return _mount(MountKind.TMPFS, "", target, f"{option} {text!r}", str, read_only=read_only, limit=limit)


def _mount(
    kind: MountKind,
    source: str,
    target: str,
    what: str,
    resolve: Callable[[str], str],
    *,
    read_only: bool,
    limit: int | None = None,
) -> Mount:
    if not target.startswith("/"):
        raise UsageError(f"{what}: the path in the container is not absolute", hint="begin it with /")
    if kind is MountKind.BIND:
        source = resolve(source)
    elif kind is MountKind.VOLUME and source and (source[0] in "_.-" or not _NAME.issuperset(source)):
        raise UsageError(f"{what}: {source!r} is no name of a volume", hint="for a host's path begin it with / or ./")
    return Mount(kind=kind, source=source, target=target, read_only=read_only, size=limit)
