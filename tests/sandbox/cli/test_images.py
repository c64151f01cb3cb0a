"""Images on the command line: in and out, looking at them, containers made into images, cleaning up."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.sandbox.command import COMMAND

if TYPE_CHECKING:
    from tests.sandbox.command import Sandbox


def root_tar(path: Path, **files: str) -> Path:
    """The archive of a root with a few files."""
    with tarfile.open(path, "w") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return path


def test_in_and_out(empty: Sandbox, tmp_path: Path) -> None:
    """Import a root, look at it, save, remove and load it: it is the same image."""
    archive = root_tar(tmp_path / "root.tar", a="1", b="22")
    made = empty("import", str(archive), "app:1", "-c", 'CMD ["run"]', "-c", "LABEL x=y", "-m", "by hand")
    assert made.returncode == 0 and made.stdout.startswith("sha256:")
    assert empty("images", "--format", "{{.Repository}} {{.Tag}} {{.Size}}").stdout == "app 1 3B\n"
    assert empty("image", "inspect", "-f", "{{json .Config}} {{.Comment}}", "app:1").stdout == (
        '{"Cmd":["run"],"Labels":{"x":"y"}} by hand\n'
    )
    history = empty("history", "app:1")
    assert history.stdout.splitlines()[0].split() == ["IMAGE", "CREATED", "CREATED", "BY", "SIZE", "COMMENT"]
    assert "import" in history.stdout and "by hand" in history.stdout
    saved = tmp_path / "saved.tar"
    assert empty("save", "-o", str(saved), "app:1").returncode == 0
    assert empty("rmi", "app:1").stdout.startswith("Untagged: app:1\nDeleted: sha256:")
    loaded = empty("load", "-i", str(saved))
    assert loaded.stdout == "Loaded image: app:1\n"
    assert empty("images", "-q", "--no-trunc").stdout == made.stdout
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_removing(empty: Sandbox, tmp_path: Path) -> None:
    """By name, by id, by the beginning of one, by digest; several names need --force."""
    archive = str(root_tar(tmp_path / "root.tar", a="1"))
    identifier = empty("import", archive, "one:1").stdout.strip()
    empty("tag", "one:1", "two:1")
    refused = empty("rmi", identifier[:20])
    assert refused.returncode == 125 and "several repositories" in refused.stderr
    assert empty("rmi", "one:1").stdout == "Untagged: one:1\n"
    digest = empty("images", "--format", "{{.Digest}}").stdout.strip()
    assert "Untagged: two:1\nDeleted" in empty("rmi", f"two@{digest}").stdout
    identifier = empty("import", archive, "one:1").stdout.strip()
    empty("tag", "one:1", "two:1")
    assert "Untagged: one:1\nUntagged: two:1\nDeleted" in empty("rmi", "-f", identifier[7:19]).stdout
    assert empty("images", "-q").stdout == ""


def test_pruning(empty: Sandbox, tmp_path: Path) -> None:
    """Without a name; with --all those with one; filters."""
    empty("import", str(root_tar(tmp_path / "1.tar", a="1")), "keep:1", "-c", "LABEL keep=1")
    empty("import", str(root_tar(tmp_path / "2.tar", a="2")), "app:1")
    empty("import", str(root_tar(tmp_path / "3.tar", a="3")), "app:1")
    assert empty("images", "-q", "-f", "dangling=true").stdout.count("\n") == 1
    assert "Total reclaimed space: 0B" in empty("image", "prune", "--filter", "until=1h").stdout
    assert "Deleted: sha256:" in empty("image", "prune").stdout
    assert "Untagged: app:1" in empty("image", "prune", "-a", "--filter", "label!=keep").stdout
    assert empty("images", "--format", "{{.Repository}}").stdout == "keep\n"
    table = empty("system", "df").stdout.splitlines()
    assert table[0].split() == ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]
    assert table[1].split() == ["Images", "1", "0", "1B", "1B", "(100%)"]
    assert "keep:1" in empty("system", "df", "-v").stdout
    assert empty("system", "df", "--format", "table {{.Type}}\\t{{.Size}}").stdout.splitlines()[1].split() == [
        "Images",
        "1B",
    ]
    assert "Untagged: keep:1" in empty("system", "prune", "-a", "-f").stdout


def test_a_container_becomes_an_image(sandbox: Sandbox, name: str, tmp_path: Path) -> None:
    """`diff`, `commit` with changes, `export`; the new image runs."""
    script = "echo new > /added; rm /bin/ls; echo more >> /etc/passwd; echo ready; exec sleep 100"
    assert sandbox("run", "-d", "--name", name, "--network", "none", "busybox", "sh", "-c", script).returncode == 0
    for _ in range(100):
        if "ready" in sandbox("logs", name).stdout:
            break
        time.sleep(0.02)
    assert sandbox("diff", name).stdout.splitlines() == ["A /added", "C /bin", "D /bin/ls", "C /etc", "C /etc/passwd"]
    made = sandbox("commit", "-a", "me", "-m", "why", "-c", 'CMD ["cat", "/added"]', "-c", "ENV A=b", name, f"{name}:1")
    assert made.returncode == 0, made.stderr
    try:
        assert sandbox("run", "--rm", "--network", "none", f"{name}:1").stdout == "new\n"
        missing = sandbox("run", "--rm", "--network", "none", f"{name}:1", "/bin/ls")
        assert missing.returncode == 127
        shape = json.loads(sandbox("image", "inspect", f"{name}:1").stdout)[0]
        assert shape["Author"] == "me" and shape["Config"]["Env"][-1] == "A=b"
        assert sandbox("history", "--format", "{{.Comment}}", f"{name}:1").stdout.splitlines()[0] == "why"
        exported = tmp_path / "export.tar"
        assert sandbox("export", "-o", str(exported), name).returncode == 0
        with tarfile.open(exported) as tar:
            names = tar.getnames()
            added = tar.extractfile("added")
            assert added is not None and added.read() == b"new\n"
        assert "bin/busybox" in names and "bin/ls" not in names
        used = sandbox("rmi", "busybox")
        assert used.returncode == 125 and "in use" in used.stderr
    finally:
        sandbox("rmi", "-f", f"{name}:1")


def test_what_a_killed_import_left_goes_with_the_next(empty: Sandbox, tmp_path: Path) -> None:
    """Its half-made layer, its lease, and a layer of no image."""
    home = Path(empty.environment["HAKO_HOME"])
    archive = root_tar(tmp_path / "root.tar", a="1")
    process = subprocess.Popen(
        [*COMMAND, "import", "-"], env=empty.environment, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    process.stdin.write(archive.read_bytes()[:600])
    process.stdin.flush()
    deadline = time.monotonic() + 10
    while not list((home / "tmp").glob("image-*/fs")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    process.stdin.close()
    assert list((home / "images" / "leases").iterdir()) != []
    assert empty("import", str(archive), "app").returncode == 0
    assert list((home / "tmp").iterdir()) == [] == list((home / "images" / "leases").iterdir())
    assert len(list((home / "images" / "snapshots").iterdir())) == 1


def test_a_directory_put_in_anothers_place(sandbox: Sandbox, name: str) -> None:
    """All that the old one had is deleted, and listed so."""
    script = "mkdir /new; mv /etc /old; mkdir /etc; touch /etc/group"
    ran = sandbox(
        "run", "--name", name, "--network", "none", "busybox", "sh", "-c", f"rm -r /var; mkdir /var; {script}"
    )
    changes = sandbox("diff", name).stdout.splitlines()
    assert "C /var" in changes, (ran.stderr, changes)
    assert "A /new" in changes and "D /var/tmp" in changes


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("import", "/nonexistent"), "there is no file '/nonexistent'"),
        (("import", "/etc"), "'/etc' is a directory"),
        (("import", "/etc/passwd"), "no tar archive"),
        (("import", "/etc/passwd", "x", "-c", "RUN make"), "change 'RUN make' is not understood"),
        (("import", "/etc/passwd", "X"), "lower case"),
        (("load", "-i", "/etc"), "no images in it"),
        (("load", "-i", "/etc/passwd"), "no tar archive"),
        (("save", "nosuch"), "no image 'nosuch'"),
        (("save", "nosuch", "--format", "zip"), "--format 'zip' is unknown"),
        (("commit", "nosuch"), "no such container"),
        (("diff", "nosuch"), "no such container"),
        (("export", "nosuch"), "no such container"),
        (("history", "nosuch"), "no image 'nosuch'"),
        (("images", "-f", "x=y"), "filter 'x=y' is not known"),
        (("image", "prune", "--filter", "reference=x"), "filter 'reference=x' is not known"),
        (("system", "prune", "--filter", "x=y"), "--filter takes"),
        (("images", "--format", "{{range}}"), "not understood"),
    ],
)
def test_mistakes(empty: Sandbox, words: tuple[str, ...], said: str) -> None:
    """One clear line, no traceback."""
    ran = empty(*words)
    assert ran.returncode in (2, 125) and said in ran.stderr and ran.stderr.count("\n") == 1, ran.stderr
