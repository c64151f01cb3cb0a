"""The packages in an image, as the databases of its package managers name them. Nothing of the image is executed.

Each reader gets bytes that anybody may have written, and leaves out what it cannot read. Source: package-url's
specification for the names.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from sandbox.builder.attest import alpine, debian, python, rpm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sandbox.builder.attest.package import Package
    from sandbox.builder.files import FileView

_LIMIT = 256 << 20  # bytes of one database
_PACKAGES = 500_000


class _Reader(NamedTuple):
    read: Callable[[bytes], Iterator[Package]]
    path: str


_DATABASES = (
    _Reader(debian.read, "var/lib/dpkg/status"),
    _Reader(alpine.read, "lib/apk/db/installed"),
    _Reader(alpine.read, "usr/lib/apk/db/installed"),
    _Reader(rpm.read, "var/lib/rpm/rpmdb.sqlite"),
    _Reader(rpm.read, "usr/lib/sysimage/rpm/rpmdb.sqlite"),
)
_PARTS = "var/lib/dpkg/status.d"  # of images without a package manager: a file for each package


class System(NamedTuple):
    """Of /etc/os-release: ID and VERSION_ID."""

    id: str
    version: str


def packages(view: FileView) -> tuple[Package, ...]:
    """All packages, sorted, each once."""
    found: set[Package] = set()
    for database in _DATABASES:
        found.update(database.read(view.read(database.path.encode(), limit=_LIMIT)))
    for name in view.names(view.resolve(_PARTS.encode())):
        if not name.endswith(b".md5sums"):
            found.update(debian.read(view.read(_PARTS.encode() + b"/" + name)))
    for item in view.walk(b""):
        if python.is_metadata(item.path):
            found.update(python.read(view.read(item.path)))
        if len(found) > _PACKAGES:
            break
    return tuple(sorted(found))


def system(view: FileView) -> System:
    """Which distribution it is; empty where that is not said."""
    fields = {}
    for line in view.read(b"etc/os-release").decode("utf-8", "replace").splitlines():
        name, separator, value = line.strip().partition("=")
        if separator:
            fields[name] = value.strip("\"'")
    return System(fields.get("ID", ""), fields.get("VERSION_ID", ""))


def locator(package: Package, of: System) -> str:
    """Its package URL."""
    namespace = f"{quote(of.id, safe='')}/" if package.kind != "pypi" and of.id else ""
    qualifiers = {"arch": package.architecture, "epoch": package.epoch}
    if package.kind != "pypi" and of.id:
        qualifiers["distro"] = f"{of.id}-{of.version}" if of.version else of.id
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in sorted(qualifiers.items()) if value)
    path = posixpath.join(f"pkg:{package.kind}", f"{namespace}{quote(package.name, safe='')}")
    return f"{path}@{quote(package.version, safe='')}{f'?{query}' if query else ''}"
