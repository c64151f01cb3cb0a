"""What steps left is written back, and nothing else, and nowhere else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from runners import workspace
from runners.inventory import changes, inventory
from runners.writeback import Written, write_back

if TYPE_CHECKING:
    from pathlib import Path

    from runners.inventory import Stamp


class Trees:
    """A work tree and a workspace made of it."""

    def __init__(self, folder: Path) -> None:
        self.tree, self.workspace = folder / "tree", folder / "workspace"
        self.tree.mkdir()
        (self.tree / "file").write_text("1")
        (self.tree / "sub").mkdir()
        (self.tree / "sub/file").write_text("1")
        self.before: dict[bytes, Stamp] = {}

    def copy(self) -> None:
        """Make the workspace."""
        workspace.snapshot(self.tree, self.workspace)
        self.before = inventory(self.workspace)

    def write(self) -> Written:
        """Write back."""
        return write_back(self.workspace, self.tree, self.before)


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    """With two files, copied."""
    made = Trees(tmp_path)
    made.copy()
    return made


def test_nothing_changed_is_nothing_written(trees: Trees) -> None:
    """Not even a time."""
    before = inventory(trees.tree)
    assert trees.write() == Written()
    assert inventory(trees.tree) == before


def test_a_change_that_hides_is_found(trees: Trees) -> None:
    """The same size and modification time: the change time tells."""
    file = trees.workspace / "file"
    times = file.stat()
    file.write_text("2")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert changes(trees.before, inventory(trees.workspace)).changed == (b"file",)
    assert trees.write().written == (b"file",)
    assert (trees.tree / "file").read_text() == "2"


def test_modes_links_and_folders_come_along(trees: Trees) -> None:
    """A set-user-id bit does not; a file may become a folder."""
    (trees.workspace / "run").write_text("x")
    (trees.workspace / "run").chmod(0o4755)
    (trees.workspace / "link").symlink_to("anywhere")
    (trees.workspace / "file").unlink()
    (trees.workspace / "file").mkdir()
    (trees.workspace / "file/inner").write_text("x")
    done = trees.write()
    assert (done.written, done.removed, done.left) == ((b"file/inner", b"link", b"run"), (b"file",), ())
    assert (trees.tree / "run").stat().st_mode & 0o7777 == 0o755
    assert (trees.tree / "link").readlink().name == "anywhere"
    assert (trees.tree / "file/inner").read_text() == "x"


def test_a_repository_is_never_written(trees: Trees) -> None:
    """A hook there would run on the host; in no folder, and under no case of the name."""
    for name in (".git", "sub/.GIT"):
        (trees.workspace / name / "hooks").mkdir(parents=True)
        (trees.workspace / name / "hooks/pre-commit").write_text("#!/bin/sh")
    assert trees.write() == Written()


def test_no_link_leads_out(trees: Trees, tmp_path: Path) -> None:
    """Neither one in the workspace, to read, nor one in the tree, to write."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (trees.workspace / "leak").symlink_to(outside)
    assert trees.write().written == (b"leak",)
    assert (trees.tree / "leak").is_symlink()
    (trees.workspace / "leak").unlink()
    (trees.workspace / "leak").mkdir()
    (trees.workspace / "leak/secret").write_text("overwritten")
    assert trees.write().left == (b"leak/secret",)
    assert (outside / "secret").read_text() == "secret"


def test_what_somebody_changed_meanwhile_is_left(trees: Trees) -> None:
    """In the work tree: edited, or made there too."""
    (trees.workspace / "file").write_text("theirs")
    (trees.workspace / "sub/file").unlink()
    (trees.workspace / "new").write_text("theirs")
    (trees.tree / "file").write_text("mine, edited")
    (trees.tree / "sub/file").write_text("mine, edited")
    (trees.tree / "new").write_text("mine")
    assert trees.write() == Written(left=(b"sub/file", b"file", b"new"))
    assert (trees.tree / "file").read_text() == "mine, edited"
