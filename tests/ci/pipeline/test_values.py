"""Typed values: what is taken, what is refused and in which words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.pipeline import values
from ci.pipeline.values import BadValue

if TYPE_CHECKING:
    from collections.abc import Callable

READERS: list[Callable[[str], object]] = [
    values.duration,
    values.memory,
    values.cpus,
    values.port,
    values.user,
    values.image,
    values.shell,
    values.directory,
    values.relative,
    values.host_path,
    values.step_name,
    values.service_name,
    values.variable,
    values.secret,
    values.label,
]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("500ms", 0.5),
        ("1d2h", 93600),
        ("0.5", 0.5),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    """A number is seconds; units can be put together."""
    assert values.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "x", "10x", "1h 30m", "-1", "m", "1e3", "0", "0s", "٣s", "10m5", "1" * 20])
def test_bad_durations(text: str) -> None:
    """Everything else, and no time at all, is refused."""
    with pytest.raises(BadValue):
        values.duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512m", 512 << 20),
        ("1g", 1 << 30),
        ("1.5GiB", 3 << 29),
        ("64 MB", 64 << 20),
        ("7000000", 7_000_000),
        ("8192k", 8 << 20),
    ],
)
def test_sizes(text: str, size: int) -> None:
    """Bytes, or units that are powers of 1024 as in Docker."""
    assert values.memory(text) == size


@pytest.mark.parametrize("text", ["", "12", "512", "x", "1x", "-1g", "1gg", "0", "1e9", "1 2g"])
def test_bad_sizes(text: str) -> None:
    """Too little, and what is no size."""
    with pytest.raises(BadValue):
        values.memory(text)


@pytest.mark.parametrize(
    "text",
    [
        "busybox",
        "debian:bookworm",
        "hako/redis:7",
        "registry.example.org:5000/team/app:1.0_x-y",
        "localhost/a__b",
        "app@sha256:" + "a" * 64,
        "[::1]:5000/app",
    ],
)
def test_images(text: str) -> None:
    """The forms of an image reference."""
    assert values.image(text) == text


@pytest.mark.parametrize(
    "text", ["", "Busybox", "a b", "a:", ":a", "a@sha256:12", "a/../b", "-a", "http://a/b", "a\n", "a" * 600, "a:b:c"]
)
def test_bad_images(text: str) -> None:
    """What is no image reference."""
    with pytest.raises(BadValue):
        values.image(text)


def test_users() -> None:
    """Names and numbers; a number that would wrap around to root is refused (CVE-2024-40635)."""
    assert [values.user(text) for text in ("root", "1000", "1000:1000", "www-data:adm")]
    for text in ("", "1000:", ":", "a b", "4294967296", "2147483648:0", "-1", "a:b:c", "root\n"):
        with pytest.raises(BadValue):
            values.user(text)


@pytest.mark.parametrize(
    "text", ["", "/", "//", "rel", "./rel", "/a/../b", "/proc", "/proc/self", "/sys/x", "/dev", "/a\0b"]
)
def test_bad_targets(text: str) -> None:
    """Nothing is put at relative paths, at the root, or over the kernel's file systems."""
    with pytest.raises(BadValue):
        values.directory(text)


def test_paths_are_normalised() -> None:
    """A path has one form."""
    assert values.directory("//a//b/./c/") == "/a/b/c"
    assert values.relative("./a//b/") == "a/b"
    assert values.directory("/process") == "/process"


def test_ports() -> None:
    """A port is a number of one; a published one is explained."""
    assert values.port("6379") == 6379
    for text in ("0", "65536", "x", "8080:80", "80/tcp", "", "٣"):
        with pytest.raises(BadValue):
            values.port(text)


def test_shells() -> None:
    """Shells of the Bourne family and other interpreters, by path or by name."""
    assert [values.shell(text) for text in ("sh", "bash", "/usr/local/bin/bash", "/bin/busybox", "python3.12")]
    for text in ("tclsh", "/bin/fish", "bin/sh", "", "/a/../bin/sh"):
        with pytest.raises(BadValue):
            values.shell(text)


def test_names() -> None:
    """A name that will not do comes back with one that will."""
    assert values.step_name("Go-1.20_x") == "Go-1.20_x"
    with pytest.raises(BadValue) as error:
        values.step_name("unit tests (fast)")
    assert '"unit-tests-fast"' in error.value.hint
    with pytest.raises(BadValue) as error:
        values.service_name("My DB")
    assert '"my-db"' in error.value.hint
    with pytest.raises(BadValue) as error:
        values.variable("my-var")
    assert '"my_var"' in error.value.hint


def test_secret_variables() -> None:
    """A secret's variable is its name in upper case."""
    assert values.secret_variable("docker-hub.token_1") == "DOCKER_HUB_TOKEN_1"


@given(st.text(), st.sampled_from(READERS))
def test_any_text_is_taken_or_refused(text: str, read: Callable[[str], object]) -> None:
    """Whatever is written, nothing but BadValue is raised."""
    try:
        read(text)
    except BadValue as error:
        assert error.message
