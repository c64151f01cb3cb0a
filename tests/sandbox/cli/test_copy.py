"""`sandbox cp`: where things go, and what becomes of them."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from sandbox.cli.copy import Place, place
from sandbox.errors import SandboxError
from sandbox.runtime.packing import Found
from tests.sandbox.command import COMMAND

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.sandbox.command import Sandbox

THERE = {"/": "directory", "/dir": "directory", "/file": "file"}


def found(path: str) -> Found:
    """A small tree."""
    return Found(THERE.get(path.rstrip("/").removesuffix("/.") or "/", "missing"))


@pytest.mark.parametrize(
    ("source", "kind", "destination", "expected"),
    [
        ("/a/f", "file", "/dir", Place("/dir", "f")),
        ("/a/f", "file", "/dir/", Place("/dir/", "f")),
        ("/a/f", "file", "/file", Place("/", "file")),
        ("/a/f", "file", "/new", Place("/", "new")),
        ("/a/f", "file", "/dir/new", Place("/dir", "new")),
        ("/a/d", "directory", "/dir", Place("/dir", "d")),
        ("/a/d/.", "directory", "/dir", Place("/dir", "")),
        ("/a/d", "directory", "/new", Place("/", "new")),
        ("/a/d/.", "directory", "/new", Place("/", "new")),
        ("/a/d", "directory", "/new/", Place("/", "new")),
        ("/", "directory", "/dir", Place("/dir", "")),
    ],
)
def test_where_things_go(source: str, kind: str, destination: str, expected: Place) -> None:
    """Docker's table."""
    assert place(source, kind, destination, found) == expected


@pytest.mark.parametrize(
    ("kind", "destination", "message"),
    [
        ("file", "/new/", "no such directory: /new/"),
        ("file", "/new/file", "no such directory: /new"),
        ("directory", "/file", "cannot copy a directory"),
        ("directory", "/new/dir", "no such directory: /new"),
    ],
)
def test_where_nothing_can_go(kind: str, destination: str, message: str) -> None:
    """The error names what is missing or in the way."""
    with pytest.raises(SandboxError, match=message):
        place("/a/x", kind, destination, found)


@pytest.fixture
def container(sandbox: Sandbox, name: str) -> Iterator[str]:
    """One that runs."""
    made = sandbox("run", "-d", "--network", "none", "--name", name, "busybox", "sleep", "1000")
    assert made.returncode == 0, made.stderr
    yield name
    sandbox("rm", "-fv", name)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files, a link of each kind, modes."""
    root = tmp_path / "tree"
    (root / "sub").mkdir(parents=True, mode=0o751)
    (root / "file").write_text("hello")
    (root / "hard").hardlink_to(root / "file")
    (root / "link").symlink_to("file")
    (root / "sub" / "deep").write_text("deep")
    (root / "sub").chmod(0o751)
    os.utime(root / "file", ns=(0, 1_600_000_000_123_456_789))
    return root


@pytest.mark.root
@pytest.mark.parametrize("running", [True, False])
def test_a_tree_goes_in_and_comes_out(
    sandbox: Sandbox, container: str, tree: Path, tmp_path: Path, running: bool
) -> None:
    """Contents, modes, times, links of both kinds; into a container that runs, and one that has ended."""
    if not running:
        sandbox("stop", "-t", "0", container)
    assert sandbox("cp", str(tree), f"{container}:/in").stderr == ""
    assert sandbox("cp", f"{container}:/in", str(tmp_path / "out")).stderr == ""
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == ["file", "hard", "link", "sub"]
    assert (out / "file").stat().st_ino == (out / "hard").stat().st_ino
    assert (out / "link").readlink().name == "file"
    assert (out / "file").stat().st_mtime_ns == 1_600_000_000_123_456_789
    assert stat.S_IMODE((out / "sub").stat().st_mode) == 0o751
    assert (out / "sub" / "deep").read_text() == "deep"
    assert (out / "file").stat().st_uid == os.geteuid()
    sandbox("start", container)
    owner = sandbox("exec", container, "stat", "-c", "%u:%g %s", "/in/file").stdout
    assert owner == "0:0 5\n"


@pytest.mark.root
def test_archives(sandbox: Sandbox, container: str, tree: Path) -> None:
    """`-` is an archive: to standard output by its name, from standard input into a directory, compressed or not."""
    sandbox("cp", str(tree), f"{container}:/in")
    made = subprocess.run([*COMMAND, "cp", f"{container}:/in/sub", "-"], env=sandbox.environment, capture_output=True,
                          check=True)  # fmt: skip
    with tarfile.open(fileobj=io.BytesIO(made.stdout)) as archive:
        assert archive.getnames() == ["sub", "sub/deep"]
        assert archive.getmember("sub/deep").uid == 0
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(tree, "again")
    subprocess.run(
        [*COMMAND, "cp", "-", f"{container}:/tmp"], env=sandbox.environment, input=buffer.getvalue(), check=True
    )
    assert sandbox("exec", container, "cat", "/tmp/again/sub/deep").stdout == "deep"


@pytest.mark.root
def test_volumes_and_mounted_files(sandbox: Sandbox, name: str, tree: Path) -> None:
    """What is mounted in the container is where things go, also when it does not run; mounted files are written."""
    sandbox(
        "create", "--network", "none", "--name", name, "-v", "/data", "busybox", "sh", "-c", "cat /data/file; sleep 100"
    )
    assert sandbox("cp", f"{tree}/.", f"{name}:/data").stderr == ""
    sandbox("start", name)
    assert sandbox("exec", name, "cat", "/data/file").stdout == "hello"
    assert sandbox("cp", str(tree / "file"), f"{name}:/etc/hosts").stderr == ""
    assert sandbox("exec", name, "cat", "/etc/hosts").stdout == "hello"
    assert sandbox("exec", name, "ls", "/data").stdout.split() == ["file", "hard", "link", "sub"]
    sandbox("rm", "-fv", name)


@pytest.mark.root
def test_links(sandbox: Sandbox, container: str, tmp_path: Path) -> None:
    """A link is copied itself; with -L what it leads to, in the container's root and not in ours."""
    sandbox(
        "exec",
        container,
        "sh",
        "-c",
        "echo inside > /etc/inside; ln -s /etc/inside /link; ln -s ../../../etc/inside /up",
    )
    sandbox("cp", f"{container}:/link", str(tmp_path / "itself"))
    assert str((tmp_path / "itself").readlink()) == "/etc/inside"
    for link in ("link", "up"):
        sandbox("cp", "-L", f"{container}:/{link}", str(tmp_path / link))
        assert (tmp_path / link).read_text() == "inside\n"
    sandbox("exec", container, "ln", "-s", "/tmp", "/place")
    (tmp_path / "file").write_text("x")
    sandbox("cp", str(tmp_path / "file"), f"{container}:/place")
    assert sandbox("exec", container, "cat", "/tmp/file").stdout == "x"


@pytest.mark.root
def test_owners_and_set_user_id_bits(sandbox: Sandbox, container: str, tmp_path: Path) -> None:
    """On the host nothing becomes set-user-id by a plain copy; -a keeps bits and ids."""
    sandbox("exec", container, "sh", "-c", "cp /bin/busybox /su; chown 5:6 /su; chmod 4755 /su")
    sandbox("cp", f"{container}:/su", str(tmp_path / "plain"))
    plain = (tmp_path / "plain").stat()
    assert (stat.S_IMODE(plain.st_mode), plain.st_uid) == (0o755, 0)
    sandbox("cp", "-a", f"{container}:/su", str(tmp_path / "kept"))
    kept = (tmp_path / "kept").stat()
    assert (stat.S_IMODE(kept.st_mode), kept.st_uid, kept.st_gid) == (0o4755, 5, 6)
    sandbox("cp", "-a", str(tmp_path / "kept"), f"{container}:/back")
    assert sandbox("exec", container, "stat", "-c", "%a %u:%g", "/back").stdout == "4755 5:6\n"


@pytest.mark.root
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("{c}:/nosuch", "/tmp"), "no such file or directory in the container: /nosuch"),
        (("/nosuch", "{c}:/tmp"), "no such file or directory: /nosuch"),
        (("/etc/hostname", "{c}:/nosuch/"), "no such directory: /nosuch/ (make it first)"),
        (("/etc/hostname", "{c}:/nosuch/file"), "no such directory: /nosuch (make it first)"),
        (("/etc", "{c}:/etc/passwd"), "cannot copy a directory to /etc/passwd, which is none"),
        (("-", "{c}:/etc/passwd"), "no such directory in the container: /etc/passwd"),
        (("/etc/hostname", "/tmp"), "cannot copy /etc/hostname to /tmp: none is in a container"),
        (("{c}:/etc", "{c}:/tmp"), "cannot copy {c}:/etc to {c}:/tmp: both are in containers"),
    ],
)
def test_mistakes(sandbox: Sandbox, container: str, words: tuple[str, str], message: str) -> None:
    """One line that names the path."""
    done = sandbox("cp", *(word.format(c=container) for word in words), stdin="no archive")
    assert done.returncode in (2, 125)
    assert done.stderr.startswith(f"sandbox: {message.format(c=container)}")
    assert done.stderr.count("\n") == 1


@pytest.mark.root
def test_a_damaged_archive(sandbox: Sandbox, container: str) -> None:
    """It is refused by what is wrong with it."""
    done = sandbox("cp", "-", f"{container}:/tmp", stdin="x" * 2000)
    assert (done.returncode, done.stderr.count("\n")) == (125, 1)
    assert "checksum" in done.stderr


@pytest.mark.root
def test_attributes_are_copied(sandbox: Sandbox, name: str, tmp_path: Path) -> None:
    """Those that users set, of files and directories, there and back; a file's capabilities with --archive alone."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_text("text")
    for path in (tree, tree / "file"):
        try:
            os.setxattr(path, "user.colour", b"blue")
        except OSError:
            pytest.skip("the file system of the temporary directory has no attributes")
    capability = bytes.fromhex("0100000200040000000000000000000000000000")  # CAP_NET_BIND_SERVICE
    os.setxattr(tree / "file", "security.capability", capability)
    sandbox("run", "-d", "--name", name, "--network", "none", "busybox", "sleep", "100")
    for options, kept in (((), False), (("-a",), True)):
        back = tmp_path / f"back-{kept}"
        assert sandbox("cp", *options, str(tree), f"{name}:/tmp/{kept}").returncode == 0
        done = sandbox("cp", *options, f"{name}:/tmp/{kept}", str(back))
        assert done.returncode == 0, done.stderr
        assert [os.getxattr(path, "user.colour") for path in (back, back / "file")] == [b"blue", b"blue"]
        assert ("security.capability" in os.listxattr(back / "file")) == kept
