"""Folders for Stages, one after the other: each begins with the pristine copy and nothing else."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from runners import workspace
from runners.treepool import TreePool

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def pristine(tmp_path: Path) -> Path:
    """A copy of a repository, older than the clock's granularity."""
    tree = tmp_path / "project"
    (tree / "folder/inner").mkdir(parents=True)
    (tree / "folder/inner/deep").write_text("deep")
    for name in ("one", "two", "three"):
        (tree / name).write_text(name)
    (tree / "link").symlink_to("one")
    git(tree, "init", "-q")
    git(tree, "add", "-A")
    git(tree, "commit", "-q", "-m", "first")
    copied = workspace.snapshot(tree, tmp_path / "pristine")
    (copied.path / ".git/objects/info/alternates").write_text(f"{tree}/.git/objects\n")
    old_enough(copied.path)
    return copied.path


def old_enough(tree: Path) -> None:
    """Wait until files that are there count as old: what has just been written may be written once more."""
    probe = tree.with_name("probe")
    while True:
        probe.write_text("")
        newest = max(path.lstat().st_ctime_ns for path in tree.rglob("*"))
        if probe.stat().st_ctime_ns > newest + 100_000_000:
            probe.unlink()
            return
        os.sched_yield()


def git(folder: Path, *words: str) -> str:
    """What git prints."""
    who = {f"GIT_{role}_{part}": "a@b" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    command = ["git", "-c", "safe.directory=*", *words]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, env=os.environ | who)
    return done.stdout.strip()


def content(tree: Path) -> dict[str, str]:
    """All that is there, the repository aside."""
    found = {}
    for path in tree.rglob("*"):
        name = str(path.relative_to(tree))
        if name.split("/", maxsplit=1)[0] != ".git":
            kind = f"-> {path.readlink()}" if path.is_symlink() else "/" if path.is_dir() else path.read_text()
            found[name] = f"{path.lstat().st_mode:o} {kind}"
    return found


def test_what_a_stage_did_is_not_there_for_the_next(pristine: Path, tmp_path: Path) -> None:
    """Whatever it was; what it has not touched is not copied again."""
    pool = TreePool(tmp_path / "pool")
    tree = pool.take(pristine)
    before = content(pristine)
    assert content(tree) == before
    kept = (tree / "three").stat().st_ino
    (tree / "one").write_text("changed")
    (tree / "two").unlink()
    (tree / "new").mkdir()
    (tree / "new/file").write_text("new")
    (tree / "link").unlink()
    (tree / "link").symlink_to("/etc/passwd")
    (tree / "folder/inner/deep").unlink()
    (tree / "folder/inner").rmdir()
    (tree / "folder/inner").symlink_to("/")
    git(tree, "commit", "-q", "-a", "-m", "theirs")
    tree.chmod(0o500)
    pool.give(tree)
    again = pool.take(pristine)
    assert again == tree
    assert content(again) == before
    assert (again / "three").stat().st_ino == kept
    assert again.stat().st_mode & 0o777 == 0o755
    assert git(again, "log", "--format=%s") == "first"
    assert git(again, "status", "--short") == ""


def test_no_more_than_are_used_at_once(pristine: Path, tmp_path: Path) -> None:
    """However many Stages there are; those of the last run are taken first."""
    pool = TreePool(tmp_path / "pool")
    first, second = pool.take(pristine), pool.take(pristine)
    assert first != second
    pool.give(first)
    assert pool.take(pristine) == first
    later = TreePool(tmp_path / "pool")
    assert {later.take(pristine), later.take(pristine)} == {first, second}
    assert later.take(pristine) not in {first, second}


def test_the_project_goes_on(pristine: Path, tmp_path: Path) -> None:
    """What is new, other or gone in the pristine copy is so in a folder that was there before."""
    pool = TreePool(tmp_path / "pool")
    pool.give(pool.take(pristine))
    (pristine / "one").write_text("another")
    (pristine / "two").unlink()
    (pristine / "four").write_text("four")
    assert content(pool.take(pristine)) == content(pristine)


def test_a_folder_that_is_gone(pristine: Path, tmp_path: Path) -> None:
    """It was kept elsewhere: all is copied again."""
    pool = TreePool(tmp_path / "pool")
    tree = pool.take(pristine)
    tree.rename(tmp_path / "kept")
    pool.give(tree)
    assert content(pool.take(pristine)) == content(pristine)
