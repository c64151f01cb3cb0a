"""What a container finds inside: mounts, users, its working directory, what it may do."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import SandboxError
from sandbox.runtime.spec import Mount, MountKind, Security

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox.runtime.conftest import Run

pytestmark = pytest.mark.root


def test_a_bind_mount_and_its_owner(run: Run, tmp_path: Path) -> None:
    """A host directory is read and written with the ids it has on the host."""
    (tmp_path / "given").write_text("content")
    os.chown(tmp_path / "given", 12, 34)
    mount = Mount(kind=MountKind.BIND, source=str(tmp_path), target="/mnt/deep")
    result = run("cat /mnt/deep/given; stat -c ' %u:%g' /mnt/deep/given; echo made > /mnt/deep/made", mounts=(mount,))
    assert result.output == "content 12:34\n"
    assert (tmp_path / "made").read_text() == "made\n"
    assert (tmp_path / "made").stat().st_uid == 0


def test_a_read_only_mount(run: Run, tmp_path: Path) -> None:
    """Nothing is written through it."""
    mount = Mount(kind=MountKind.BIND, source=str(tmp_path), target="/mnt", read_only=True)
    assert run("touch /mnt/x", mounts=(mount,)).status.code == 1
    assert list(tmp_path.iterdir()) == []


def test_a_single_file_is_mounted(run: Run, tmp_path: Path) -> None:
    """A file appears at its target, whose parents are made."""
    (tmp_path / "file").write_text("text")
    mount = Mount(kind=MountKind.BIND, source=str(tmp_path / "file"), target="/a/b/c", read_only=True)
    assert run("cat /a/b/c", mounts=(mount,)).output == "text"


def test_a_missing_mount_source(run: Run) -> None:
    """It is named, and nothing runs."""
    with pytest.raises(SandboxError, match="/nonexistent/x"):
        run("true", mounts=(Mount(kind=MountKind.BIND, source="/nonexistent/x", target="/mnt"),))


def test_a_named_volume_is_shared(run: Run) -> None:
    """Two containers meet in it."""
    mount = Mount(kind=MountKind.VOLUME, source="shared", target="/v")
    run("echo one > /v/file", mounts=(mount,))
    assert run("cat /v/file", mounts=(mount,)).output == "one\n"


def test_tmpfs(run: Run) -> None:
    """A tmpfs of the given size, empty and writable."""
    mount = Mount(kind=MountKind.TMPFS, target="/t", size=1 << 20)
    result = run("head -c 2000000 /dev/zero > /t/x || stat -f -c %T /t; stat -c %s /t/x", mounts=(mount,))
    assert result.output == "tmpfs\n1048576\n"


def test_a_read_only_root(run: Run) -> None:
    """Nothing is written to the root, while /dev/shm and mounts stay writable."""
    assert run("touch /x || touch /dev/shm/x && echo ok", read_only=True).output == "ok\n"


def test_users(run: Run) -> None:
    """By number with a group; HOME and the streams are the user's."""
    result = run("id -u; id -g; echo $HOME; echo again > /dev/stdout; touch /x || echo denied", user="1000:1001")
    assert result.output == "1000\n1001\n/\nagain\ndenied\n"


def test_an_unknown_user(run: Run) -> None:
    """A clear error, before the command runs."""
    with pytest.raises(SandboxError, match="no user 'nonesuch'"):
        run("true", user="nonesuch")


def test_a_working_directory_is_made(run: Run) -> None:
    """Missing ones are made, as by docker."""
    assert run("pwd", working_dir="/a/new/place").output == "/a/new/place\n"


@pytest.mark.parametrize("number", range(3, 30))
def test_a_working_directory_is_never_outside(run: Run, number: int) -> None:
    """A descriptor of the engine's is no way out (CVE-2024-21626): there is none, and magic links are not followed."""
    try:
        result = run("cat ../../../../../etc/hostname", working_dir=f"/proc/self/fd/{number}", hostname="inside")
    except SandboxError as error:
        assert "working directory" in error.message
    else:
        assert result.output == "inside\n"


def test_capabilities(run: Run) -> None:
    """--cap-drop ALL leaves none, --cap-add one gives that one, privileged all."""
    script = "grep CapEff /proc/self/status | cut -f2"
    assert int(run(script, security=Security(capabilities_drop=("ALL",))).output, 16) == 0
    only = Security(capabilities_drop=("ALL",), capabilities_add=("NET_RAW",))
    assert int(run(script, security=only).output, 16) == 1 << 13
    assert int(run(script, security=Security(privileged=True)).output, 16) & (1 << 21)


def test_system_calls_are_filtered(run: Run) -> None:
    """unshare is refused by the filter, and allowed without one and with CAP_SYS_ADMIN."""
    assert run("unshare -m true").status.code != 0
    free = Security(seccomp="unconfined", capabilities_add=("SYS_ADMIN",))
    assert run("unshare -m true", security=free).status.code == 0
