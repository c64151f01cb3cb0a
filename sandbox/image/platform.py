"""Platforms: the one of this host, those that an image is for, and which of them runs where. Pure but for `host`.

Names are Go's, normalized as containerd does it: `x86_64` is `amd64`, `arm64/v8` is `arm64`. Source: OCI image-spec
image-index.md "platform"; containerd, `platforms`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandbox.errors import InvalidError
from sandbox.image.manifest import ARCHITECTURES
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_PART = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_NAMES = {**ARCHITECTURES, "x86-64": "amd64", "i386": "386", "i686": "386", "armhf": "arm", "armv7l": "arm"}
_VARIANTS = {"armhf": "v7", "armv7l": "v7", "armel": "v6", "armv6l": "v6"}


class Platform(NamedTuple):
    """`linux/arm64/v8`."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in self if part)


def host() -> Platform:
    """This host's."""
    return parse(f"linux/{os.uname().machine}")


def parse(text: str) -> Platform:
    """`os/architecture[/variant]`, or an architecture alone. Raises InvalidError."""
    parts = text.split("/")
    if not 1 <= len(parts) <= 3 or not all(part and _PART.issuperset(part) for part in parts):
        raise InvalidError(f"invalid platform {text[:100]!r}", hint="such as linux/amd64 or linux/arm/v7")
    if len(parts) == 1:
        parts = ["linux", parts[0]]
    return normalized(*parts)


def normalized(system: str, architecture: str, variant: str = "") -> Platform:
    """With the usual names."""
    system, architecture, variant = system.lower(), architecture.lower(), variant.lower()
    variant = variant or _VARIANTS.get(architecture, "")
    architecture = _NAMES.get(architecture, "arm" if architecture == "armel" else architecture)
    if (architecture, variant) in {("arm64", "v8"), ("arm64", "8"), ("amd64", "v1")}:
        variant = ""
    elif architecture == "arm":
        variant = {"": "v7", "5": "v5", "6": "v6", "7": "v7", "8": "v8"}.get(variant, variant)
    return Platform(system, architecture, variant)


def runs_on(wanted: Platform) -> Iterator[Platform]:
    """The platforms whose programs run there, the best first: an older variant does, and 32 bits on 64."""
    system, architecture, variant = wanted
    yield wanted
    if architecture in ("amd64", "arm") and variant[1:].isdigit():
        least = 5 if architecture == "arm" else 1
        for older in range(int(variant[1:]) - 1, least - 1, -1):
            yield normalized(system, architecture, f"v{older}")
    elif architecture == "arm64":
        yield from runs_on(Platform(system, "arm", "v8"))
    if architecture == "amd64":
        yield Platform(system, "386")
