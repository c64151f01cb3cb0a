"""dpkg's database: /var/lib/dpkg/status, deb822 paragraphs. Source: dpkg(1), deb-control(5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.builder.attest.package import Package, paragraphs

if TYPE_CHECKING:
    from collections.abc import Iterator


def read(data: bytes) -> Iterator[Package]:
    """What is installed; a file of status.d says nothing of a status, and its package is there."""
    for fields in paragraphs(data.decode("utf-8", "replace")):
        installed = fields.get("Status", "install ok installed").endswith(" installed")
        if installed and fields.get("Package") and fields.get("Version"):
            yield Package(
                "deb",
                fields["Package"],
                fields["Version"],
                fields.get("Architecture", ""),
                supplier=fields.get("Maintainer", ""),
            )
