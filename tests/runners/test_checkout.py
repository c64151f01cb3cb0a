"""Workspaces of clones: made of a mirror, kept for the next build, and whatever a build did to them undone."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from runners.checkout import Source, check_out
from tests.runners.repositories import Project, git

if TYPE_CHECKING:
    from pathlib import Path

    from runners.backend import HostMount


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """With three commits and a tag."""
    made = Project(tmp_path / "project")
    made.commit({"a.txt": "one\n", "sub/b.txt": "b\n", "run.sh": "#!/bin/sh\n"})
    (made.work / "run.sh").chmod(0o755)
    made.commit({"a.txt": "two\n"}, tag="v1.0")
    made.commit({"a.txt": "three\n"})
    return made


def source(project: Project, commit: str = "", **more: object) -> Source:
    """The newest commit, or another."""
    commit = commit or git(project.work, "rev-parse", "HEAD")
    return Source(mirror=project.mirror, url="https://u:secret@example.org/p.git", commit=commit, **more)  # type: ignore[arg-type]


def usable(folder: Path, mount: HostMount) -> Path:
    """The tree as a container has it: the objects where it looks for them."""
    (folder / "tree/.git/objects/info/alternates").write_text(f"{mount.source}\n")
    return folder / "tree"


def everything(tree: Path) -> dict[str, bytes]:
    """Files by their paths, repository left out."""
    found = (path for path in tree.rglob("*") if path.is_file() and ".git" not in path.parts)
    return {str(path.relative_to(tree)): path.read_bytes() for path in found}


def test_a_clone_has_files_history_tags_and_a_clean_status(project: Project, tmp_path: Path) -> None:
    """git's own commands work in it as after `git clone`: log, describe, status, branches of the remote."""
    folder = tmp_path / "slot"
    tree = usable(folder, check_out(source(project, branch="main"), folder))
    assert everything(tree) == {"a.txt": b"three\n", "sub/b.txt": b"b\n", "run.sh": b"#!/bin/sh\n"}
    assert os.access(tree / "run.sh", os.X_OK)
    assert git(tree, "describe", "--tags").startswith("v1.0-1-g")
    assert len(git(tree, "log", "--oneline").splitlines()) == 3
    assert git(tree, "status", "--porcelain", "--branch") == "## main"
    assert git(tree, "rev-parse", "origin/main") == git(tree, "rev-parse", "HEAD")
    git(tree, "fsck")


def test_nothing_to_log_in_with_is_in_the_clone(project: Project, tmp_path: Path) -> None:
    """The address in the configuration has no password."""
    tree = usable(tmp_path / "slot", check_out(source(project), tmp_path / "slot"))
    assert git(tree, "remote", "get-url", "origin") == "https://example.org/p.git"
    for path in (tree / ".git").rglob("*"):
        assert not path.is_file() or b"secret" not in path.read_bytes()


def test_a_clone_can_be_committed_to_and_fetched_into(project: Project, tmp_path: Path) -> None:
    """What a step commits lands in the clone, and the mirror is not touched."""
    tree = usable(tmp_path / "slot", check_out(source(project, branch="main"), tmp_path / "slot"))
    before = sorted(path for path in project.mirror.rglob("*"))
    git(tree, "commit", "--quiet", "--allow-empty", "-m", "mine")
    git(project.work, "commit", "--quiet", "--allow-empty", "-m", "theirs")
    git(tree, "fetch", "--quiet", str(project.work), "main:refs/remotes/origin/main")
    assert git(tree, "log", "-1", "--format=%s", "origin/main") == "theirs"
    assert sorted(path for path in project.mirror.rglob("*")) == before


def test_the_next_build_begins_with_exactly_its_commit(project: Project, tmp_path: Path) -> None:
    """Changed, removed, replaced and additional files of the last build are undone, whatever it did to hide them."""
    folder = tmp_path / "slot"
    check_out(source(project), folder)
    tree = folder / "tree"
    status = (tree / "a.txt").stat()
    (tree / "a.txt").write_text("THREE\n")  # of the same size
    os.utime(tree / "a.txt", ns=(status.st_atime_ns, status.st_mtime_ns))
    (tree / "run.sh").unlink()
    shutil.rmtree(tree / "sub")
    (tree / "sub").symlink_to(tmp_path)
    (tree / "inner").mkdir()
    git(tree / "inner", "init", "--quiet")
    (tree / "node_modules").mkdir(mode=0o700)
    (tree / "node_modules/x").write_text("x")
    (tree / ".git/hooks/post-checkout").write_text("#!/bin/sh\ntouch /tmp/owned\n")
    (tree / ".git/info/exclude").write_text("node_modules\n")
    (tmp_path / "b.txt").write_text("outside")
    commit = project.commit({"new.txt": "new\n", "run.sh": None})
    check_out(source(project), folder)
    assert everything(tree) == {"a.txt": b"three\n", "sub/b.txt": b"b\n", "new.txt": b"new\n"}
    assert (tmp_path / "b.txt").read_text() == "outside"
    assert not (tree / "inner").exists()
    assert not (tree / ".git/hooks/post-checkout").exists()
    assert git(usable(folder, check_out(source(project), folder)), "rev-parse", "HEAD") == commit


def test_folders_are_as_new(project: Project, tmp_path: Path) -> None:
    """git knows nothing of the modes of folders; a build must not leave them to the next one."""
    check_out(source(project), tmp_path / "slot")
    tree = tmp_path / "slot/tree"
    (tree / "sub").chmod(0o777)
    tree.chmod(0o700)
    check_out(source(project), tmp_path / "slot")
    assert (tree / "sub").stat().st_mode & 0o777 == 0o755
    assert tree.stat().st_mode & 0o777 == 0o755


def test_a_damaged_folder_is_made_anew(project: Project, tmp_path: Path) -> None:
    """After a loss of power, say."""
    folder = tmp_path / "slot"
    check_out(source(project), folder)
    (folder / "git/index").write_bytes(b"nonsense")
    check_out(source(project), folder)
    assert (folder / "tree/a.txt").read_text() == "three\n"


@pytest.mark.parametrize(("depth", "commits"), [(1, 1), (2, 2), (9, 3)])
def test_depth_cuts_the_history(project: Project, tmp_path: Path, depth: int, commits: int) -> None:
    """As `git clone --depth` does, although the objects are there."""
    tree = usable(tmp_path / "slot", check_out(source(project, depth=depth), tmp_path / "slot"))
    assert len(git(tree, "log", "--oneline").splitlines()) == commits
    assert git(tree, "rev-parse", "--is-shallow-repository") == ("false" if commits == 3 else "true")


def test_an_old_commit_and_no_tags(project: Project, tmp_path: Path) -> None:
    """HEAD is detached where the commit is no branch's; tags are left out on request."""
    old = git(project.work, "rev-parse", "HEAD~2")
    tree = usable(tmp_path / "slot", check_out(source(project, old, tags=False), tmp_path / "slot"))
    assert (tree / "a.txt").read_text() == "one\n"
    assert git(tree, "tag") == ""
    assert git(tree, "rev-parse", "--abbrev-ref", "HEAD") == "HEAD"
