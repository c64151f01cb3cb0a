"""What two builders are compared on: files of all kinds to build from, and what is in the images that come out."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from tests.sandbox.command import COMMAND

CORPUS = Path(__file__).parent / "corpus"
# Made by any engine for its containers, or by each for itself.
_ENGINES_OWN = (
    *("dev", "proc", "sys", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab"),
    *("run/.containerenv", ".dockerenv"),
)
SETTINGS = ("Env", "Cmd", "Entrypoint", "WorkingDir", "User", "ExposedPorts", "Volumes", "StopSignal")


def saved_busybox(engine_home: Path) -> bytes:
    """The run's image `busybox`, for the other builder to load."""
    return subprocess.run(
        [*COMMAND, "save", "busybox"],
        env={**os.environ, "HAKO_HOME": str(engine_home), "PYTHONPATH": str(CORPUS.parents[3])},
        capture_output=True,
        check=True,
    ).stdout


def fill(folder: Path) -> None:
    """Make files with modes, owners and links of all kinds, and the corpus."""
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
    for path in CORPUS.rglob("*.Dockerfile"):
        shutil.copy(path, folder)


def _digest(content: bytes) -> str:
    """A few figures in place of a file."""
    return hashlib.sha256(content).hexdigest()[:12]


def tree(archive: bytes) -> dict[str, tuple[Any, ...]]:
    """What is in a root file system: path to kind, mode, owner, link, content."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as entries:
        for entry in entries:
            name = entry.name.strip("/").removeprefix("./")
            if not name or name.startswith(_ENGINES_OWN):
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
                _digest(content),
            )
    return found
