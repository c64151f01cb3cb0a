"""Values of options in docker's notations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from sandbox.cli import values
from sandbox.cli.options import UsageError
from sandbox.runtime.spec import Mount, MountKind

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1024", 1024),
        ("10b", 10),
        ("64k", 64 << 10),
        ("64K", 64 << 10),
        ("64m", 64 << 20),
        ("1.5g", 3 << 29),
        ("2GB", 2 << 30),
        ("2GiB", 2 << 30),
        ("1 t", 1 << 40),
        ("0.5k", 512),
    ],
)
def test_sizes(text: str, expected: int) -> None:
    """Bytes, and units that are powers of 1024, in any case."""
    assert values.size(text, "--memory") == expected


@pytest.mark.parametrize(
    "text", ["", "m", "x", "1x", "1mm", "-5m", "1.2.3g", "1e3", "nan", "inf", "²m", "5 m m", "1ib"]
)
def test_what_is_no_size(text: str) -> None:
    """The message names option and value, the hint shows a size."""
    with pytest.raises(UsageError) as caught:
        values.size(text, "--memory")
    assert f"--memory {text!r} is not a size" in str(caught.value)


def test_processors() -> None:
    """A positive number of processors; no nonsense that floats know."""
    assert values.processors("0.5", "--cpus") == 0.5
    for text in ("0", "-1", "nan", "inf", "x", "", "0.001"):
        with pytest.raises(UsageError, match="--cpus"):
            values.processors(text, "--cpus")
    assert not math.isnan(values.processors("2", "--cpus"))


def test_environment() -> None:
    """A value may have `=` in it or be empty; a NAME alone is taken from here or left out."""
    entries = ("A=1", "B=", "C=x=y", "HERE", "NOWHERE", "A=2")
    assert values.environment(entries, "--env", {"HERE": "yes"}) == {"A": "2", "B": "", "C": "x=y", "HERE": "yes"}
    with pytest.raises(UsageError, match="--env '=x' has no name"):
        values.environment(["=x"], "--env", {})


def test_labels() -> None:
    """A label without a value is empty, whatever the environment has."""
    assert values.labels(["a", "b=1", "c=x=y"], "--label") == {"a": "", "b": "1", "c": "x=y"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("db:10.0.0.7", ("db", "10.0.0.7")),
        ("db=10.0.0.7", ("db", "10.0.0.7")),
        ("db:::1", ("db", "::1")),
        ("db:[fe80::1]", ("db", "fe80::1")),
    ],
)
def test_hosts(text: str, expected: tuple[str, str]) -> None:
    """Name and address, version 6 with or without brackets."""
    assert values.host(text, "--add-host") == expected


@pytest.mark.parametrize("text", ["db", "db:", ":10.0.0.7", "db:nowhere", "db:10.0.0.7\nevil 1.2.3.4"])
def test_wrong_hosts(text: str) -> None:
    """What has no address, or more than one line, is refused."""
    with pytest.raises(UsageError, match="--add-host"):
        values.host(text, "--add-host")


def bind(source: str, target: str, *, read_only: bool = False) -> Mount:
    """A bind mount."""
    return Mount(kind=MountKind.BIND, source=source, target=target, read_only=read_only)


def absolute(path: str) -> str:
    """The working directory is /here."""
    return path if path.startswith("/") else f"/here/{path}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/a:/b", bind("/a", "/b")),
        ("/a:/b:ro", bind("/a", "/b", read_only=True)),
        ("/a:/b:rw,Z", bind("/a", "/b")),
        ("/b", Mount(kind=MountKind.VOLUME, target="/b")),
        ("./a:/b", bind("/here/./a", "/b")),
        ("data:/b", Mount(kind=MountKind.VOLUME, source="data", target="/b")),
        ("data.1_x-y:/b:ro", Mount(kind=MountKind.VOLUME, source="data.1_x-y", target="/b", read_only=True)),
    ],
)
def test_volumes(text: str, expected: Mount) -> None:
    """Host paths and named volumes."""
    assert values.volume(text, "-v", absolute) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "not absolute"),
        (":/b", "is not HOST:CONTAINER"),
        ("/a:", "is not HOST:CONTAINER"),
        ("/a:b", "not absolute"),
        ("/a:/b:rx", "unknown mode 'rx'"),
        ("a/b:/c", "'a/b' is no name of a volume"),
        ("-a:/c", "'-a' is no name of a volume"),
        ("a\nb:/c", "no name of a volume"),
    ],
)
def test_wrong_volumes(text: str, message: str) -> None:
    """A volume's name cannot lead out of the state directory."""
    with pytest.raises(UsageError, match=message):
        values.volume(text, "-v", absolute)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("type=bind,source=/a,target=/b", bind("/a", "/b")),
        ("type=bind,src=a,dst=/b,readonly", bind("/here/a", "/b", read_only=True)),
        ("type=bind,src=/a,destination=/b,ro=true", bind("/a", "/b", read_only=True)),
        ("src=data,dst=/b", Mount(kind=MountKind.VOLUME, source="data", target="/b")),
        ("type=tmpfs,dst=/b,tmpfs-size=1k", Mount(kind=MountKind.TMPFS, target="/b", size=1024)),
    ],
)
def test_mounts(text: str, expected: Mount) -> None:
    """Docker's long form."""
    assert values.mount(text, "--mount", absolute) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("type=bind,source=/a", "has no target"),
        ("type=bind,target=/b", "bind needs a source"),
        ("type=tmpfs,source=/a,target=/b", "tmpfs has no source"),
        ("type=magic,source=/a,target=/b", "unknown type 'magic'"),
        ("colour=red,target=/b", "unknown field 'colour'"),
        ("type=volume,source=../x,target=/b", "no name of a volume"),
        ("type=bind,source=/a,target=b", "not absolute"),
        ("", "unknown field ''"),
    ],
)
def test_wrong_mounts(text: str, message: str) -> None:
    """Each mistake names the field."""
    with pytest.raises(UsageError, match=message):
        values.mount(text, "--mount", absolute)


def test_tmpfs() -> None:
    """A path, and docker's options that mean something here."""
    assert values.tmpfs("/run", "--tmpfs") == Mount(kind=MountKind.TMPFS, target="/run")
    assert values.tmpfs("/run:rw,noexec,size=64m,ro", "--tmpfs") == Mount(
        kind=MountKind.TMPFS, target="/run", size=64 << 20, read_only=True
    )


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (lambda text: values.tmpfs(text, "--tmpfs"), "run"),
        (lambda text: values.tmpfs(text, "--tmpfs"), "/run:exec"),
        (lambda text: values.tmpfs(text, "--tmpfs"), "/run:size=x"),
        (lambda text: values.tmpfs(text, "--tmpfs"), ""),
    ],
)
def test_wrong_tmpfs(parse: Callable[[str], Mount], text: str) -> None:
    """An option that would be ignored is refused instead."""
    with pytest.raises(UsageError, match="--tmpfs"):
        parse(text)
