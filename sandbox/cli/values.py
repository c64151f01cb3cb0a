"""Values as people write them in options: sizes, environment, labels, hosts. Pure.

Docker's notations (docker/go-units, docker/cli `opts`); each function raises UsageError that names the option and the
value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.cli.options import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}


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


def lines(text: str, path: str, option: str) -> list[str]:
    """The entries of a file for `environment` or `labels`: one a line, `#` begins a comment, nothing is unquoted.

    Docker's format: blanks before an entry do not count, those in a name are a mistake.
    """
    found = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        entry = line.lstrip()
        if not entry or entry.startswith("#"):
            continue
        name = entry.partition("=")[0]
        if not name or any(character.isspace() for character in name):
            raise UsageError(f"{option} {path}, line {number}: {name[:40]!r} is not a name", hint="write NAME=VALUE")
        found.append(entry)
    return found


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


def fits(text: str, pattern: str) -> bool:
    """Whether a filter's value fits: the text itself, or a regular expression for a part of it (docker's rule)."""
    if pattern == text or pattern in text:
        return True
    import re  # noqa: PLC0415  (for few filters)

    try:
        return re.search(pattern, text) is not None
    except re.error:
        return False


def address(text: str, option: str) -> str:
    """An IPv4 or IPv6 address."""
    import ipaddress  # noqa: PLC0415  (a millisecond that few lines need)

    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise UsageError(f"{option} {text!r} is not an address", hint="such as 10.0.0.53") from None


def host(text: str, option: str) -> tuple[str, str]:
    """`NAME:ADDRESS` (or with `=`, or an IPv6 address in brackets) as (name, address)."""
    import ipaddress  # noqa: PLC0415  (a millisecond that few lines need)

    name, separator, address = text.partition("=")
    if not separator:
        name, separator, address = text.partition(":")
    if name and address == "host-gateway":
        return name, address
    address = address.removeprefix("[").removesuffix("]")
    try:
        parsed = str(ipaddress.ip_address(address))
    except ValueError:
        parsed = ""
    if not name or not parsed:
        raise UsageError(f"{option} {text!r} is not a name and an address", hint="such as db:10.0.0.7")
    return name, parsed
