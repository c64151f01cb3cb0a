"""rpm's database, as Fedora and RHEL since 9 have it: rpmdb.sqlite with a header of each package.

Databases of other kinds (Berkeley DB, ndb) are not read. Source: rpm's "Header Format" and "Package Format".
"""

from __future__ import annotations

import sqlite3
import struct
import tempfile
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from sandbox.builder.attest.package import Package

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAGIC = b"SQLite format 3\0"
_ENTRY = struct.Struct(">4I")  # tag, type, offset, count
_ENTRIES = 100_000
_STRINGS = (6, 9)  # RPM_STRING_TYPE, RPM_I18NSTRING_TYPE
_INT32 = 4
_NAMES = {1000: "name", 1001: "version", 1002: "release", 1003: "epoch", 1011: "vendor", 1014: "license", 1022: "arch"}
_KEY = "gpg-pubkey"  # an imported key looks like a package


def read(data: bytes) -> Iterator[Package]:
    """What is installed."""
    if not data.startswith(_MAGIC):
        return
    with tempfile.NamedTemporaryFile(prefix="hako-", suffix=".sqlite") as file:
        file.write(data)
        file.flush()
        with (
            suppress(sqlite3.Error),
            closing(sqlite3.connect(f"file:{file.name}?mode=ro&immutable=1", uri=True)) as base,
        ):
            base.execute("PRAGMA trusted_schema = off")
            for (blob,) in base.execute("SELECT blob FROM Packages"):
                fields = _header(blob) if isinstance(blob, bytes) else {}
                if fields.get("name") not in (None, _KEY) and "version" in fields:
                    version = f"{fields['version']}-{fields['release']}" if "release" in fields else fields["version"]
                    yield Package(
                        "rpm",
                        fields["name"],
                        version,
                        fields.get("arch", ""),
                        fields.get("epoch", ""),
                        fields.get("license", ""),
                        fields.get("vendor", ""),
                    )


def _header(blob: bytes) -> dict[str, str]:
    """The fields of a header that are wanted; none of one that is cut short."""
    if len(blob) < 8:
        return {}
    count, _ = struct.unpack_from(">2I", blob)
    start = 8 + count * _ENTRY.size
    if count > _ENTRIES or start > len(blob):
        return {}
    found = {}
    for tag, kind, offset, _ in _ENTRY.iter_unpack(blob[8:start]):
        name, place = _NAMES.get(tag), start + offset
        if name is None or place >= len(blob):
            continue
        if kind in _STRINGS:
            end = blob.find(b"\0", place)
            found[name] = blob[place:end].decode("utf-8", "replace") if end >= 0 else ""
        elif kind == _INT32 and place + 4 <= len(blob):
            found[name] = str(struct.unpack_from(">I", blob, place)[0])
    return found
