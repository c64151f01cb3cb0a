"""Where templates come from: the project's folder and its git repository, and nowhere else."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from ci.pipeline.includes import LibraryError
from ci.pipeline.source import SIZE_LIMIT
from ci.templates import ProjectLibrary

if TYPE_CHECKING:
    from pathlib import Path


def git(folder: Path, *words: str) -> str:
    """Run git; returns its output."""
    names = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    command = ["git", "-c", "init.defaultBranch=main", *words]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, env={**os.environ, **names})
    return done.stdout.strip()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project in a folder of a repository; its template differs at the tag and in the work tree."""
    folder = tmp_path / "repository" / "project"
    (folder / "ci").mkdir(parents=True)
    git(folder.parent, "init", "-q")
    (folder / "ci/t.yml").write_text("old")
    (folder / "ci/large.yml").write_text("#" * (SIZE_LIMIT + 2))
    (folder / "ci/link.yml").symlink_to("/etc/passwd")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "one")
    git(folder, "tag", "-a", "v1", "-m", "first")
    git(folder, "branch", "maint")
    (folder / "ci/t.yml").write_text("new")
    return folder


def test_files_as_they_lie_there(project: Path) -> None:
    """Without a reference the work tree counts."""
    assert ProjectLibrary(project).read("ci/t.yml", "") == b"new"


def test_files_at_a_reference(project: Path) -> None:
    """A tag, also one with a message, a branch, a whole commit; from a bare repository, too."""
    commit = git(project, "rev-parse", "HEAD")
    for ref in ("v1", "maint", commit):
        assert ProjectLibrary(project).read("ci/t.yml", ref) == b"old"
    bare = project.parent.parent / "bare.git"
    git(project, "clone", "-q", "--bare", str(project.parent), str(bare))
    assert ProjectLibrary(bare).read("project/ci/t.yml", "v1") == b"old"


@pytest.mark.parametrize(
    ("path", "ref", "words"),
    [
        ("ci/none.yml", "", 'there is no file "ci/none.yml"'),
        ("ci/link.yml", "", "leads out of the project"),
        ("ci", "", "cannot be read: is a directory"),
        ("ci/none.yml", "v1", "no file .* at v1"),
        ("ci/link.yml", "v1", "is no file"),
        ("ci", "v1", "is no file"),
        ("ci/large.yml", "v1", "more than 1 MiB"),
        ("ci/t.yml", "v2", 'no tag, branch or commit "v2"'),
        ("ci/t.yml", "0" * 40, "no tag, branch or commit"),
        ("ci/t.yml", "HEAD", "no tag, branch or commit"),
    ],
)
def test_what_is_not_to_be_had(project: Path, path: str, ref: str, words: str) -> None:
    """Each has its own sentence."""
    with pytest.raises(LibraryError, match=words):
        ProjectLibrary(project).read(path, ref)


def test_a_large_file_is_not_read_whole(project: Path) -> None:
    """One byte too many tells that it is too large."""
    assert len(ProjectLibrary(project).read("ci/large.yml", "")) == SIZE_LIMIT + 1


def test_a_project_without_git(tmp_path: Path) -> None:
    """It has no references."""
    with pytest.raises(LibraryError, match="no git repository"):
        ProjectLibrary(tmp_path).read("t.yml", "v1")
