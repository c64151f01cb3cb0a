"""Mounts in docker's notations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.cli import mount_values
from sandbox.cli.options import UsageError
from sandbox.runtime.spec import Mount, MountKind

if TYPE_CHECKING:
    from collections.abc import Callable


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
    assert mount_values.volume(text, "-v", absolute) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "not absolute"),
        (":/b", "is not SOURCE:TARGET"),
        ("/a:", "is not SOURCE:TARGET"),
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
        mount_values.volume(text, "-v", absolute)


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
    assert mount_values.mount(text, "--mount", absolute) == expected


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
        ("type=bind,source=/a,target=/b,bind-recursive=never", "unknown bind-recursive 'never'"),
        ("type=bind,source=/a,target=/b,bind-recursive=readonly", "is about read-only mounts"),
        ("source=a,target=/b,volume-subpath=../c", "leads out of the volume"),
        ("source=a,target=/b,volume-subpath=/c", "leads out of the volume"),
        ("type=tmpfs,target=/b,volume-subpath=c", "unknown field 'volume-subpath'"),
        ("", "unknown field ''"),
    ],
)
def test_wrong_mounts(text: str, message: str) -> None:
    """Each mistake names the field."""
    with pytest.raises(UsageError, match=message):
        mount_values.mount(text, "--mount", absolute)


def test_tmpfs() -> None:
    """A path, and docker's options that mean something here."""
    assert mount_values.tmpfs("/run", "--tmpfs") == Mount(kind=MountKind.TMPFS, target="/run")
    assert mount_values.tmpfs("/run:rw,noexec,size=64m,ro", "--tmpfs") == Mount(
        kind=MountKind.TMPFS, target="/run", size=64 << 20, read_only=True
    )


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (lambda text: mount_values.tmpfs(text, "--tmpfs"), "run"),
        (lambda text: mount_values.tmpfs(text, "--tmpfs"), "/run:mode=9"),
        (lambda text: mount_values.tmpfs(text, "--tmpfs"), "/run:size=x"),
        (lambda text: mount_values.tmpfs(text, "--tmpfs"), ""),
    ],
)
def test_wrong_tmpfs(parse: Callable[[str], Mount], text: str) -> None:
    """An option that would be ignored is refused instead."""
    with pytest.raises(UsageError, match="--tmpfs"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/a:/b:rslave", bind("/a", "/b")._replace(propagation="slave")),
        ("/a:/b:ro,rprivate", bind("/a", "/b", read_only=True)),
        ("data:/b:nocopy", Mount(kind=MountKind.VOLUME, source="data", target="/b", copy=False)),
    ],
)
def test_modes_of_volumes(text: str, expected: Mount) -> None:
    """Propagation, and whether a new volume is filled."""
    assert mount_values.volume(text, "-v", absolute) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("type=bind,src=/a,dst=/b,bind-propagation=slave", bind("/a", "/b")._replace(propagation="slave")),
        ("type=bind,src=/a,dst=/b,bind-recursive=disabled", bind("/a", "/b")._replace(recursive=False)),
        ("type=bind,src=/a,dst=/b,bind-nonrecursive", bind("/a", "/b")._replace(recursive=False)),
        ("src=a,dst=/b,volume-subpath=c", Mount(kind=MountKind.VOLUME, source="a", target="/b", subpath="c")),
        ("dst=/b,volume-nocopy", Mount(kind=MountKind.VOLUME, target="/b", copy=False)),
        ("type=tmpfs,dst=/b,tmpfs-mode=700", Mount(kind=MountKind.TMPFS, target="/b", options=("mode=700",))),
    ],
)
def test_fields_of_mounts(text: str, expected: Mount) -> None:
    """Each kind has fields of its own."""
    assert mount_values.mount(text, "--mount", absolute) == expected


@pytest.mark.parametrize("text", ["/a:/b:shared", "/a:/b:rshared"])
def test_no_mount_reaches_the_host(text: str) -> None:
    """A shared mount would let a container mount things on the host."""
    with pytest.raises(UsageError, match="not supported"):
        mount_values.volume(text, "-v", absolute)


@pytest.mark.parametrize("target", ["/", "//", "/a/../.."])
def test_the_root_is_no_target(target: str) -> None:
    """Nothing is mounted over the whole root."""
    with pytest.raises(UsageError, match="nothing can be mounted"):
        mount_values.volume(f"/a:{target}", "-v", absolute)


def test_options_of_tmpfs() -> None:
    """Those that the kernel takes, and the switches that lift a restriction."""
    made = mount_values.tmpfs("/run:exec,mode=755,uid=5,noexec,nr_inodes=1k", "--tmpfs")
    assert made.options == ("exec", "mode=755", "uid=5", "nr_inodes=1k")
