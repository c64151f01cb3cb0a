"""One installed package."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


class Package(NamedTuple):
    """`kind` is the type of package-url: deb, apk, rpm, pypi. `license` is as the package says it, if it does."""

    kind: str
    name: str
    version: str
    architecture: str = ""
    epoch: str = ""  # of rpm
    license: str = ""
    supplier: str = ""


def paragraphs(text: str, separator: str = ":") -> Iterator[dict[str, str]]:
    """Blocks of `Name: value` lines between empty ones; continued lines are left out."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip():
            if fields:
                yield fields
            fields = {}
        elif line[0] not in " \t":
            name, found, value = line.partition(separator)
            if found:
                fields.setdefault(name, value.strip())
    if fields:
        yield fields
