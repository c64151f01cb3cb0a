"""What the databases of package managers say is in an image, and the document about it."""

from __future__ import annotations

import sqlite3
import struct
from typing import TYPE_CHECKING

import pytest

from sandbox.builder.attest import rpm, spdx
from sandbox.builder.attest.package import Package
from sandbox.builder.attest.packages import System, locator, packages, system
from sandbox.builder.files import FileView

if TYPE_CHECKING:
    from pathlib import Path

DPKG = """Package: libc6
Status: install ok installed
Maintainer: GNU Libc <x@example.com>
Architecture: amd64
Version: 2.36-9
Description: x
 Package: not-one

Package: gone
Status: deinstall ok config-files
Version: 1
"""
APK = "C:Q1\nP:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\nm:A <a@example.com>\nF:lib\nR:x\n\nP:half\n\n"
PYTHON = "Metadata-Version: 2.1\nName: Typing_Extensions\nVersion: 4.9.0\nLicense-Expression: PSF-2.0\n\nName: no\n"


def header(**fields: str | int) -> bytes:
    """An rpm header with a few of the fields."""
    tags = {"name": 1000, "version": 1001, "release": 1002, "epoch": 1003, "license": 1014, "arch": 1022}
    index, data = b"", b""
    for name, value in fields.items():
        kind = 4 if isinstance(value, int) else 6
        index += struct.pack(">4I", tags[name], kind, len(data), 1)
        data += struct.pack(">I", value) if isinstance(value, int) else value.encode() + b"\0"
    return struct.pack(">2I", len(fields), len(data)) + index + data


def database(path: Path, *blobs: bytes) -> bytes:
    """An rpmdb.sqlite."""
    base = sqlite3.connect(path)
    base.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
    base.executemany("INSERT INTO Packages (blob) VALUES (?)", [(blob,) for blob in blobs])
    base.commit()
    base.close()
    return path.read_bytes()


def put(root: Path, path: str, content: str | bytes) -> None:
    """Write a file of the image."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(content if isinstance(content, bytes) else content.encode())


def test_every_manager_is_asked(tmp_path: Path) -> None:
    """dpkg, its parts without a manager, apk, rpm and python, wherever it is; what is not installed is left out."""
    root = tmp_path / "root"
    put(root, "var/lib/dpkg/status", DPKG)
    put(root, "var/lib/dpkg/status.d/base", "Package: base\nVersion: 12\n")
    put(root, "var/lib/dpkg/status.d/base.md5sums", "Package: none\nVersion: 1\n")
    put(root, "lib/apk/db/installed", APK)
    blobs = (
        header(name="bash", version="5.2", release="1.fc39", epoch=1, arch="x86_64", license="GPL"),
        header(name="gpg-pubkey", version="1"),
    )
    put(root, "usr/lib/sysimage/rpm/rpmdb.sqlite", database(tmp_path / "db", *blobs))
    put(root, "opt/venv/lib/python3.11/site-packages/t.dist-info/METADATA", PYTHON)
    put(root, "usr/lib/python3/dist-packages/old.egg-info", "Name: old\nVersion: 1\n")
    put(root, "etc/os-release", 'NAME="Debian"\nID=debian\nVERSION_ID="12"\n')
    with FileView((root,), "") as view:
        found, of = packages(view), system(view)
    assert found == (
        Package("apk", "musl", "1.2.4-r2", "x86_64", license="MIT", supplier="A <a@example.com>"),
        Package("deb", "base", "12"),
        Package("deb", "libc6", "2.36-9", "amd64", supplier="GNU Libc <x@example.com>"),
        Package("pypi", "old", "1"),
        Package("pypi", "typing-extensions", "4.9.0", license="PSF-2.0"),
        Package("rpm", "bash", "5.2-1.fc39", "x86_64", "1", "GPL"),
    )
    assert [locator(package, of) for package in found[2:6:3]] == [
        "pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12",
        "pkg:rpm/debian/bash@5.2-1.fc39?arch=x86_64&distro=debian-12&epoch=1",
    ]


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"\0" * 7,
        struct.pack(">2I", 2**31, 0),
        struct.pack(">2I4I", 1, 0, 1000, 6, 2**31, 1),
        header(name="x")[:-2],
    ],
)
def test_hostile_databases(tmp_path: Path, blob: bytes) -> None:
    """Headers that are cut short or lie about their size name nothing; what is no database, neither."""
    data = database(tmp_path / "db", blob)
    assert list(rpm.read(data)) == []
    assert list(rpm.read(data[:-300])) == []
    assert list(rpm.read(data[:16] + bytes(4000))) == []
    assert list(rpm.read(b"no database")) == []


def test_links_lead_nowhere(tmp_path: Path) -> None:
    """A database that is a link is one of the image's files, not of the host's."""
    put(tmp_path, "outside/status", DPKG)
    root = tmp_path / "root"
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "var/lib/dpkg/status").symlink_to(tmp_path / "outside" / "status")
    with FileView((root,), "") as view:
        assert packages(view) == ()
        assert system(view) == System("", "")


def test_the_document(tmp_path: Path) -> None:
    """SPDX 2.3: the image contains the packages; each has an id of its own, and a package URL."""
    found = spdx.document(
        "x:1", "sha256:0", "2026-01-01T00:00:00Z", [Package("deb", "a", "1"), Package("deb", "b", "1")], System("", "")
    )
    assert found["spdxVersion"] == "SPDX-2.3"
    identifiers = [package["SPDXID"] for package in found["packages"]]
    assert len(set(identifiers)) == 3
    assert [(one["relationshipType"], one["relatedSpdxElement"]) for one in found["relationships"]] == [
        ("DESCRIBES", identifiers[0]),
        ("CONTAINS", identifiers[1]),
        ("CONTAINS", identifiers[2]),
    ]
    assert found["packages"][1]["externalRefs"][0]["referenceLocator"] == "pkg:deb/a@1"
