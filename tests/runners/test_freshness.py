"""A workspace that is kept: what has not changed is not copied, and nothing that a step did is left."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from runners import workspace
from runners.slot import Slot

if TYPE_CHECKING:
    from pathlib import Path


class Project:
    """A project and its slot."""

    def __init__(self, folder: Path) -> None:
        self.tree, self.home = folder / "project", folder / "home"
        self.home.mkdir()
        (self.tree / "sub").mkdir(parents=True)
        for name in ("same", "edited", "gone", "sub/file"):
            (self.tree / name).write_text(name)
        (self.tree / "link").symlink_to("same")
        time.sleep(0.06)  # what changed a moment ago is not trusted to stay

    def refresh(self) -> Path:
        """The workspace of a run."""
        with Slot(self.home, self.tree) as slot:
            assert slot.taken
            return workspace.snapshot(self.tree, slot.tree, manifest=slot.manifest).path


def contents(tree: Path) -> dict[str, str]:
    """Every file and link."""
    return {
        os.fspath(path.relative_to(tree)): os.fspath(path.readlink()) if path.is_symlink() else path.read_text()
        for path in tree.rglob("*")
        if path.is_symlink() or path.is_file()
    }


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Four files and a link."""
    return Project(tmp_path)


def inodes(tree: Path) -> dict[str, int]:
    """Which file is which."""
    return {os.fspath(path.relative_to(tree)): path.lstat().st_ino for path in tree.rglob("*")}


def test_what_has_not_changed_is_not_copied(project: Project) -> None:
    """The second run has the files of the first."""
    first = inodes(project.refresh())
    assert inodes(project.refresh()) == first


def test_changes_of_the_project_arrive(project: Project) -> None:
    """Edited, even with the same size and times; removed, added, and turned into something else."""
    kept = inodes(project.refresh())["same"]
    times = (project.tree / "edited").stat()
    (project.tree / "edited").write_text("EDITED")
    os.utime(project.tree / "edited", ns=(times.st_atime_ns, times.st_mtime_ns))
    (project.tree / "gone").unlink()
    (project.tree / "gone").mkdir()
    (project.tree / "gone/now").write_text("a folder")
    (project.tree / "sub/file").unlink()
    (project.tree / "sub").rmdir()
    (project.tree / "sub").write_text("a file")
    (project.tree / "link").unlink()
    (project.tree / "link").symlink_to("edited")
    found = project.refresh()
    assert contents(found) == contents(project.tree)
    assert inodes(found)["same"] == kept


def test_nothing_of_a_step_is_left(project: Project) -> None:
    """Whatever it changed, hid, made or removed, folders' modes too."""
    found = project.refresh()
    times = (found / "same").stat()
    (found / "same").write_text("SAME")
    os.utime(found / "same", ns=(times.st_atime_ns, times.st_mtime_ns))
    (found / "edited").chmod(0o4777)
    os.link(found / "sub/file", found / "second")
    (found / "gone").unlink()
    (found / "gone").mkdir()
    (found / "made/deep").mkdir(parents=True)
    (found / "made/deep/file").write_text("x")
    (found / "made").chmod(0)
    (found / "sub").chmod(0o777)
    (found / "link").unlink()
    (found / "link").symlink_to("/etc")
    project.refresh()
    assert contents(found) == contents(project.tree)
    assert not (found / "made").exists()
    assert (found / "edited").stat().st_mode == (project.tree / "edited").stat().st_mode
    assert (found / "sub").stat().st_mode == (project.tree / "sub").stat().st_mode


def test_a_folder_that_became_a_link_is_not_followed(project: Project, tmp_path: Path) -> None:
    """What a step put in its place goes, and what it leads to stays."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("mine")
    found = project.refresh()
    (found / "sub/file").unlink()
    (found / "sub").rmdir()
    (found / "sub").symlink_to(outside)
    project.refresh()
    assert contents(found) == contents(project.tree)
    assert (outside / "file").read_text() == "mine"


def test_a_broken_manifest_is_none(project: Project) -> None:
    """Everything is copied again."""
    found = project.refresh()
    (found.parent / "manifest").write_text('{"version": 1, "fil')
    (found / "same").write_text("other")
    project.refresh()
    assert contents(found) == contents(project.tree)


def test_two_runs_do_not_share_one(project: Project) -> None:
    """The second one does without."""
    with Slot(project.home, project.tree) as first, Slot(project.home, project.tree) as second:
        assert (first.taken, second.taken) == (True, False)
    with Slot(project.home, project.tree) as third:
        assert third.taken


def test_those_of_gone_projects_are_removed(project: Project, tmp_path: Path) -> None:
    """And those that nobody has used for long; not one that is in use."""
    for name in ("gone", "old", "used"):
        (tmp_path / name).mkdir()
        with Slot(project.home, tmp_path / name) as slot:
            (slot.path / "tree").mkdir()
            if name == "old":
                os.utime(slot.path, (0, 0))
    (tmp_path / "gone").rmdir()
    with Slot(project.home, project.tree) as mine:
        mine.reclaim()
        left = {(path / "project").read_text().rpartition("/")[2] for path in (project.home / "workspaces").iterdir()}
    assert left == {"project", "used"}


def test_a_folder_of_the_project_that_became_a_link_is_not_entered(project: Project, tmp_path: Path) -> None:
    """What lies where the link leads is not taken for what the workspace had there."""
    project.refresh()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("mine")
    (project.tree / "sub/file").unlink()
    (project.tree / "sub").rmdir()
    (project.tree / "sub").symlink_to(outside)
    assert (project.refresh() / "sub").is_symlink()
    assert (outside / "file").read_text() == "mine"
