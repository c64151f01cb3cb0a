"""Which images are made here, and how."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandbox.errors import InvalidError, SandboxError
from sandbox.image.sources import Maker, Sources, search_paths

REDIS = """
[images."hako/redis:7"]
bootstrap = "debian:bookworm-slim"
include = ["redis-server", "ca-certificates"]
command = ["redis-server", "--protected-mode", "no"]
environment = { TZ = "UTC" }
ports = ["6379", "53/udp"]
user = "redis"
working_dir = "/srv"
labels = { a = "b" }
stop_signal = "SIGINT"
"""


def load(tmp_path: Path, text: str) -> Sources:
    """The sources of one file."""
    path = tmp_path / "images.toml"
    path.write_text(text)
    return Sources.load([path])


@pytest.mark.parametrize("name", ["busybox", "busybox:1.36", "docker.io/library/busybox:musl"])
def test_busybox_is_built_in(name: str) -> None:
    """Any tag; the host has one busybox."""
    source = Sources().find(name)
    assert source is not None and source.maker is Maker.BUSYBOX
    assert source.config.command == ("sh",) and "PATH" in source.config.environment


@pytest.mark.parametrize(
    ("name", "suite", "slim"),
    [
        ("debian", "stable", False),
        ("debian:bookworm", "bookworm", False),
        ("debian:bookworm-slim", "bookworm", True),
        ("debian:12", "bookworm", False),
        ("debian:13-slim", "trixie", True),
        ("debian:sid", "sid", False),
    ],
)
def test_debian_is_built_in(name: str, suite: str, slim: bool) -> None:
    """By suite or by number, slim or not."""
    source = Sources().find(name)
    assert source is not None and source.maker is Maker.DEBIAN
    assert (source.suite, source.slim, source.config.command) == (suite, slim, ("bash",))


@pytest.mark.parametrize(
    "name",
    ["alpine", "ghcr.io/library/busybox", "me/busybox", "debian:12.5", "debian:99", "busybox@sha256:" + "0" * 64],
)
def test_others_are_not(name: str) -> None:
    """They come from a registry, or from a file that names them."""
    assert Sources().find(name) is None


def test_a_file(tmp_path: Path) -> None:
    """Everything that a table may say."""
    sources = load(tmp_path, REDIS)
    assert sources.names() == ("hako/redis:7",)
    source = sources.find("docker.io/hako/redis:7")
    assert source is not None
    assert (source.maker, source.suite, source.slim) == (Maker.DEBIAN, "bookworm", True)
    assert source.include == ("redis-server", "ca-certificates")
    config = source.config
    assert config.command == ("redis-server", "--protected-mode", "no")
    assert config.environment["TZ"] == "UTC" and "PATH" in config.environment
    assert config.exposed_ports == ("6379/tcp", "53/udp")
    assert (config.user, config.working_dir, config.stop_signal) == ("redis", "/srv", "SIGINT")
    assert config.labels == {"a": "b"}


def test_earlier_files_count_and_missing_ones_do_not_matter(tmp_path: Path) -> None:
    """And a file may say what a built-in name means."""
    first, second = tmp_path / "1.toml", tmp_path / "2.toml"
    first.write_text('[images."busybox"]\nbootstrap = "debian:sid"\n')
    second.write_text('[images."busybox"]\nbootstrap = "debian:trixie"\n[images."x"]\nbootstrap = "busybox"\n')
    sources = Sources.load([tmp_path / "none.toml", first / "none", first, second])
    assert sources.names() == ("busybox:latest", "x:latest")
    found = sources.find("busybox")
    assert found is not None and found.suite == "sid"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[images", "images.toml"),
        ("x = 1", "x is not known"),
        ("images = 1", "images is not a table"),
        ('[images]\n"a" = 1', 'images."a" is not a table'),
        ('[images."a"]', 'images."a".bootstrap is missing'),
        ('[images."a"]\nbootstrap = "alpine"', "'alpine'"),
        ('[images."a"]\nbootstrap = "X Y"', "bootstrap"),
        ('[images."A B"]\nbootstrap = "busybox"', 'images."A B"'),
        ('[images."a"]\nbootstrap = "busybox"\ninclude = ["x"]', 'images."a".include'),
        ('[images."a"]\nbootstrap = "debian"\ninclude = ["--x"]', "'--x' is not the name of a package"),
        ('[images."a"]\nbootstrap = "debian"\ninclude = ["a,b"]', "include"),
        ('[images."a"]\nbootstrap = "debian"\ninclude = "x"', "include is not a list"),
        ('[images."a"]\nbootstrap = "busybox"\ncomand = ["x"]', "comand is not known"),
        ('[images."a"]\nbootstrap = "busybox"\nenvironment = { A = 1 }', "environment"),
        ('[images."a"]\nbootstrap = "busybox"\nuser = 1', "user is not a string"),
        ('[images."a"]\nbootstrap = "busybox"\n[images."a:latest"]\nbootstrap = "busybox"', "twice"),
        ('[images."a@sha256:' + "0" * 64 + '"]\nbootstrap = "busybox"', "digest"),
    ],
)
def test_mistakes_name_file_and_key(tmp_path: Path, text: str, words: str) -> None:
    """One line that a person can act on."""
    with pytest.raises(InvalidError) as caught:
        load(tmp_path, text)
    assert str(tmp_path / "images.toml") in caught.value.message
    assert words in caught.value.message and "\n" not in caught.value.message


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    """Bytes that are no UTF-8, and a directory."""
    (tmp_path / "images.toml").write_bytes(b"\xff")
    with pytest.raises(InvalidError, match="utf-8"):
        Sources.load([tmp_path / "images.toml"])
    with pytest.raises(SandboxError, match="directory"):
        Sources.load([tmp_path])


def test_where_files_are_looked_for() -> None:
    """The environment first, then the state directory, then the host."""
    paths = search_paths({"HAKO_IMAGES": f"/a{os.pathsep}/b"}, Path("/home"))
    assert [str(path) for path in paths] == ["/a", "/b", "/home/images.toml", "/etc/hako/images.toml"]
    assert len(search_paths({}, Path("/home"))) == 2
