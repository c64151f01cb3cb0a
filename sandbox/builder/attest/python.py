"""Python's packages: `*.dist-info/METADATA` and `*.egg-info`, wherever they are. Source: PyPA's "Core metadata"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.builder.attest.package import Package, paragraphs

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENDS = (b".dist-info/METADATA", b".egg-info/PKG-INFO")


def is_metadata(path: bytes) -> bool:
    """Whether a file's name says that it describes a package."""
    return path.endswith(_ENDS) or (path.endswith(b".egg-info") and b"-packages/" in path)


def read(data: bytes) -> Iterator[Package]:
    """The package that a file describes."""
    fields = next(paragraphs(data.decode("utf-8", "replace")), {})
    if fields.get("Name") and fields.get("Version"):
        name = fields["Name"].lower().replace("_", "-").replace(".", "-")
        license_ = fields.get("License-Expression") or fields.get("License", "")
        yield Package("pypi", name, fields["Version"], license=license_, supplier=fields.get("Author", ""))
