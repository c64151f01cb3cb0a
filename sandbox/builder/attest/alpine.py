"""apk's database: /lib/apk/db/installed, paragraphs of one-letter fields. Source: Alpine's "Apk spec"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.builder.attest.package import Package, paragraphs

if TYPE_CHECKING:
    from collections.abc import Iterator


def read(data: bytes) -> Iterator[Package]:
    """What is installed."""
    for fields in paragraphs(data.decode("utf-8", "replace")):
        if fields.get("P") and fields.get("V"):
            yield Package(
                "apk",
                fields["P"],
                fields["V"],
                fields.get("A", ""),
                license=fields.get("L", ""),
                supplier=fields.get("m", ""),
            )
