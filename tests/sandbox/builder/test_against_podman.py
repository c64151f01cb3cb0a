"""Images are as `podman build` (buildah) makes them of the same files: the tree with modes and owners, and the
configuration.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.command import Sandbox
from tests.sandbox.podman import HAS_PODMAN, Podman, podman_storage

if TYPE_CHECKING:
    from collections.abc import Iterator

CORPUS = Path(__file__).parent / "corpus"
# Made by either engine for its containers, or by podman for itself.
ENGINES_OWN = ("dev", "proc", "sys", "etc/hosts", "etc/hostname", "etc/resolv.conf", "run/.containerenv", "etc/mtab")
# Podman 4.3 shows neither health checks nor triggers here, and takes no SHELL for CMD.
SETTINGS = ("Env", "Cmd", "Entrypoint", "WorkingDir", "User", "ExposedPorts", "Volumes", "StopSignal")

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.skipif(not HAS_PODMAN, reason="needs podman"),
]


@pytest.fixture(scope="module")
def podman(engine_home: Path) -> Iterator[Podman]:
    """Podman with our busybox in its storage."""
    saved = subprocess.run(
        [sys.executable, "-m", "sandbox.cli.main", "save", "busybox"],
        env={**os.environ, "HAKO_HOME": str(engine_home), "PYTHONPATH": str(CORPUS.parents[3])},
        capture_output=True,
        check=True,
    )
    with podman_storage() as command:
        command("load", stdin=saved.stdout)
        command("tag", "docker.io/library/busybox", "localhost/busybox")
        yield command


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """Files with modes, owners and links of all kinds."""
    folder = tmp_path / "context"
    for name in (
        "one",
        "two",
        "with blank",
        "tree/a.txt",
        "tree/sub/b.txt",
        "tree/other/c",
        "ignored/x",
        "notes.md",
        "tree/notes.md",
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (folder / "two").chmod(0o755)
    (folder / "tree" / "sub").chmod(0o700)
    os.chown(folder / "tree" / "a.txt", 5, 6)
    (folder / "link").symlink_to("one")
    (folder / "tree" / "inside").symlink_to("sub/b.txt")
    (folder / "tree" / "dangling").symlink_to("/nowhere")
    with tarfile.open(folder / "archive.tar.gz", "w:gz") as archive:
        for name, kind, owner in (
            ("d", tarfile.DIRTYPE, 0),
            ("d/file", tarfile.REGTYPE, 11),
            ("l", tarfile.SYMTYPE, 0),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.uid, entry.gid = kind, owner, owner
            entry.mode = 0o751 if kind == tarfile.DIRTYPE else 0o640
            entry.linkname = "d/file" if kind == tarfile.SYMTYPE else ""
            archive.addfile(entry)
    (folder / ".dockerignore").write_text("ignored\n**/*.md\n!tree/notes.md\n*.Dockerfile\n")
    for path in CORPUS.iterdir():
        shutil.copy(path, folder)
    return folder


def digest(content: bytes) -> str:
    """A few figures in place of a file."""
    return hashlib.sha256(content).hexdigest()[:12]


def tree(archive: bytes) -> dict[str, tuple[Any, ...]]:
    """What is in a root file system: path to kind, mode, owner, link, content."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as entries:
        for entry in entries:
            name = entry.name.strip("/").removeprefix("./")
            if not name or name.startswith(ENGINES_OWN):
                continue
            stream = entries.extractfile(entry) if entry.isreg() else None
            content = stream.read() if stream is not None else b""
            kind = entry.type if not entry.islnk() else tarfile.REGTYPE
            mode = 0 if entry.issym() else entry.mode & 0o7777
            if entry.islnk():  # the archive may have either name first
                first = entries.extractfile(entry)
                content = first.read() if first is not None else b""
            found[name] = (
                kind,
                oct(mode),
                entry.uid,
                entry.gid,
                entry.linkname if entry.issym() else "",
                digest(content),
            )
    return found


@pytest.fixture
def tag(engine_home: Path, repository: Path) -> Iterator[str]:
    """A name for an image that is removed at the end."""
    name = f"compared-{uuid.uuid4().hex[:12]}"
    yield name
    Sandbox(engine_home, repository)("rmi", "-f", name)


@pytest.mark.parametrize("name", sorted(path.name for path in CORPUS.glob("*.Dockerfile")))
def test_images_are_podmans(
    name: str, podman: Podman, context: Path, engine_home: Path, repository: Path, tag: str
) -> None:
    """The same files, and the same settings."""
    sandbox = Sandbox(engine_home, repository)
    made = sandbox("build", "-t", tag, "-f", str(context / name), str(context))
    assert made.returncode == 0, made.stderr
    podman("build", "--isolation=chroot", "--format=docker", "-t", tag, "-f", str(context / name), str(context))
    theirs = podman("create", tag, "true").decode().strip()
    ours = sandbox("create", tag, "true").stdout.strip()
    try:
        assert tree(sandbox.printed("export", ours)) == tree(podman("export", theirs))
    finally:
        sandbox("rm", ours)
    their_config = json.loads(podman("image", "inspect", tag))[0]["Config"]
    our_config = json.loads(sandbox("image", "inspect", tag).stdout)[0]["Config"]
    assert {key: our_config.get(key) for key in SETTINGS} == {key: their_config.get(key) for key in SETTINGS}
    labels = {key: value for key, value in (their_config.get("Labels") or {}).items() if key != "io.buildah.version"}
    assert (our_config.get("Labels") or {}) == labels


def test_images_go_both_ways(podman: Podman, tmp_path: Path, engine_home: Path, repository: Path, tag: str) -> None:
    """What is built here is the same image in podman, by its id; what podman builds runs here as it says."""
    sandbox = Sandbox(engine_home, repository)
    (tmp_path / "Dockerfile").write_text(
        "FROM localhost/busybox\nRUN echo someone:x:7:7::/:/bin/sh >> /etc/passwd\n"
        "RUN echo text > /file && chown someone /file\n"
        'ENV A=b\nWORKDIR /place\nUSER someone\nENTRYPOINT ["sh", "-c"]\nCMD ["id -un; pwd; cat /file; echo $A"]\n'
    )
    sandbox("tag", "busybox", "localhost/busybox")
    made = sandbox("build", "-t", tag, str(tmp_path))
    assert made.returncode == 0, made.stderr
    expected = sandbox("run", "--rm", "--network", "none", tag).stdout
    assert expected == "someone\n/place\ntext\nb\n"
    podman("load", stdin=sandbox.printed("save", tag))
    (inspected,) = json.loads(podman("image", "inspect", tag))
    assert f"sha256:{inspected['Id']}" == sandbox("image", "inspect", "--format", "{{.Id}}", tag).stdout.strip()
    ours, theirs = sandbox("create", tag).stdout.strip(), podman("create", tag).decode().strip()
    try:
        assert tree(podman("export", theirs)) == tree(sandbox.printed("export", ours))
    finally:
        sandbox("rm", ours)
    podman("rmi", "-f", tag)
    sandbox("rmi", "-f", tag)
    podman("build", "--isolation=chroot", "-t", tag, str(tmp_path))
    loaded = sandbox("load", stdin=podman("save", "--format=oci-archive", tag))
    assert loaded.returncode == 0, loaded.stderr
    name = loaded.stdout.split()[-1]
    try:
        assert sandbox("run", "--rm", "--network", "none", name).stdout == expected
    finally:
        sandbox("rmi", "-f", name, "localhost/busybox")
