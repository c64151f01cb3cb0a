"""The host's apt configuration, said again for an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.image import aptsources

if TYPE_CHECKING:
    from pathlib import Path

DEB822 = """\
# the main archive
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main
Architectures: amd64
Check-Valid-Until: no

Types: deb
URIs: http://mirror.example/off
Suites: bookworm
Components: main
Enabled: no

Types: deb-src
URIs: http://mirror.example/source
Suites: bookworm
Components: main

Types: deb
URIs: https://cloud.example
Suites: cloud-sdk-bookworm
Components: main
"""
ONE_LINE = """\
# comment
deb [arch=amd64 signed-by=/usr/share/keyrings/k.gpg trusted=yes] http://mirror.example/debian bookworm main contrib # x
deb-src http://mirror.example/debian bookworm main
deb\thttp://mirror.example/security bookworm-security main
deb https://other.example nodistro main
deb http://flat.example/ ./
"""


def test_deb822() -> None:
    """Enabled binary entries, with the key that a stanza has in it."""
    sources = aptsources.parse_deb822(DEB822)
    assert [source.uris for source in sources] == [
        ("http://mirror.example/debian",),
        ("http://mirror.example/security",),
        ("https://cloud.example",),
    ]
    assert sources[0].suites == ("bookworm", "bookworm-updates", "bookworm-backports")
    assert "abc" in sources[0].options["signed-by"]
    assert sources[1].options == {"check-valid-until": "no"}


def test_one_line() -> None:
    """Options and comments."""
    sources = aptsources.parse_one_line(ONE_LINE)
    assert [source.suites[0] for source in sources] == ["bookworm", "bookworm-security", "nodistro", "./"]
    assert sources[0].options == {"signed-by": "/usr/share/keyrings/k.gpg", "trusted": "yes"}
    assert sources[0].components == ("main", "contrib")


def test_the_hosts_own_suite() -> None:
    """Debian's entries only, without backports; keys and options come along."""
    text = aptsources.for_suite(aptsources.parse_deb822(DEB822), "bookworm", "bookworm")
    assert "Suites: bookworm bookworm-updates\n" in text
    assert "Suites: bookworm-security\n" in text
    assert "Signed-By: \n -----BEGIN" in text and "Check-Valid-Until: no" in text
    assert "cloud" not in text and "backports" not in text and "off" not in text
    assert aptsources.parse_deb822(text)[0].options["signed-by"].count("\n") == 4


def test_another_suite() -> None:
    """Rewritten in all its parts; old ones name security otherwise, rolling ones have none."""
    sources = aptsources.parse_one_line(ONE_LINE)
    assert "Suites: trixie-security" in aptsources.for_suite(sources, "trixie", "bookworm")
    assert "Suites: buster/updates" in aptsources.for_suite(sources, "buster", "bookworm")
    rolling = aptsources.for_suite(sources, "sid", "bookworm")
    assert "Suites: sid\n" in rolling and "security" not in rolling.replace("mirror.example/security", "")
    assert "Trusted: yes" in rolling and "Signed-By: /usr/share/keyrings/k.gpg" in rolling


def test_a_host_that_is_no_debian() -> None:
    """Debian's own mirrors serve."""
    ubuntu = aptsources.parse_one_line("deb http://archive.example/ubuntu noble main universe")
    text = aptsources.for_suite(ubuntu, "bookworm", "noble")
    # The host's release is its own, so its entries would be renamed; a host without any gets the default.
    assert "archive.example" in text
    default = aptsources.for_suite([], "bookworm", "noble")
    assert "deb.debian.org/debian\n" in default and "bookworm-security" in default and "bookworm-updates" in default


def test_settings_that_are_carried_over() -> None:
    """What reaches the mirror and accepts its dates; no passwords, no programs, no paths, nothing else."""
    dump = """\
APT "";
Acquire "";
Acquire::Check-Valid-Until "false";
Acquire::http "";
Acquire::http::Proxy "http://proxy.example:3128";
Acquire::http::Proxy::internal.example "DIRECT";
Acquire::https::Proxy "http://user:secret@proxy.example:3128";
Acquire::https::CaInfo "/etc/ssl/own.pem";
Acquire::http::Proxy-Auto-Detect "/usr/bin/find-proxy";
Acquire::Languages "";
Acquire::Languages:: "none";
Acquire::AllowInsecureRepositories "1";
Dir::Etc "etc/apt";
"""
    assert aptsources.select_options(dump) == {
        "Acquire::Check-Valid-Until": "false",
        "Acquire::http::Proxy": "http://proxy.example:3128",
        "Acquire::http::Proxy::internal.example": "DIRECT",
        "Acquire::Languages::": "none",
    }


def test_the_hosts_files(tmp_path: Path) -> None:
    """Both forms, in apt's order; other files are not read."""
    (tmp_path / "sources.list").write_text("deb http://a.example bookworm main\n")
    folder = tmp_path / "sources.list.d"
    folder.mkdir()
    (folder / "b.sources").write_text("Types: deb\nURIs: http://b.example\nSuites: bookworm\nComponents: main\n")
    (folder / "c.list").write_text("deb http://c.example bookworm main\n")
    (folder / "d.list.save").write_text("deb http://d.example bookworm main\n")
    assert [source.uris[0] for source in aptsources.host_sources(tmp_path)] == [
        "http://a.example",
        "http://b.example",
        "http://c.example",
    ]
