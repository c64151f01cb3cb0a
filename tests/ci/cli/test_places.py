"""`ci-run local` wherever a project may be: in a linked work tree, without a commit, outside of git; and options."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.root

SHOW = """
image: busybox
steps:
  - name: show
    commands:
      - cat file
      - 'echo "[$CI_COMMIT_BRANCH] [$CI_COMMIT_SHA] [$CI_REPO]"'
"""
NOTHING = "0" * 40


def git(folder: Path, *words: str) -> str:
    """Run git; returns its output."""
    names = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    command = ["git", "-c", "init.defaultBranch=main", *words]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, env={**os.environ, **names})
    return done.stdout.strip()


def test_a_linked_work_tree(ci_run: Run, project: Path, tmp_path: Path) -> None:
    """Its files and its branch, not those of the tree that it is linked to; and git works in the steps."""
    home = tmp_path / "home"
    home.mkdir()
    git(home, "init", "-q")
    (home / "file").write_text("at home\n")
    git(home, "add", "-A")
    git(home, "commit", "-qm", "first")
    git(home, "worktree", "add", "-q", "-b", "side", str(project))
    (project / "file").write_text("at the side\n")
    done = ci_run(SHOW + "      - test -d .git && cat .git/HEAD\n")
    assert done.returncode == 0, done.stdout + done.stderr
    commit = git(home, "rev-parse", "HEAD")
    assert "show | at the side\n" in done.stdout
    assert f"show | [side] [{commit}] [local/project]\n" in done.stdout
    assert git(project, "status", "--porcelain") == "M file\n?? .ci.yml"


def test_a_repository_without_a_commit(ci_run: Run, project: Path) -> None:
    """The files are there, and the branch that is to be."""
    git(project, "init", "-q")
    (project / "file").write_text("new\n")
    done = ci_run(SHOW)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "show | new\n" in done.stdout
    assert f"show | [main] [{NOTHING}] [local/project]\n" in done.stdout


def test_a_clone(ci_run: Run, project: Path, tmp_path: Path) -> None:
    """--clone: what is built is the commit as its server has it, as the pipeline wants it, and not the files here."""
    there = tmp_path / "origin.git"
    git(project, "init", "-q", "-b", "main")
    git(project, "remote", "add", "origin", str(there))
    pipeline = """
image: busybox
matrix: {CELL: [1, 2]}
clone: {depth: 1, retries: 0}
steps: [{name: show, commands: ['cat file; test ! -e new', 'cat .git/shallow']}]
"""
    (project / "file").write_text("committed\n")
    (project / ".ci.yml").write_text(pipeline)
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "one")
    git(project, "init", "-q", "--bare", str(there))
    (project / "file").write_text("changed\n")
    (project / "new").write_text("")
    done = ci_run("", "--clone")
    assert done.returncode == 1
    assert "git fetch failed" in done.stderr
    git(project, "push", "-q", "origin", "main")
    done = ci_run("", "--clone")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("committed\n") == 2
    assert done.stderr.count("cloning file://") == 1
    assert ci_run("", "--clone", "--write").returncode == 2


def test_a_clone_with_an_image_of_its_own(ci_run: Run, project: Path) -> None:
    """--clone runs it in an empty workspace, whatever is chosen; without, the files here are built and this is said."""
    git(project, "init", "-q", "-b", "main")
    pipeline = """
clone:
  image: busybox
  commands: ['ls -A; echo $PLUGIN_DEPTH $PLUGIN_LIST $CI_STEP_TYPE $DRONE_COMMIT_BRANCH', 'echo fetched > file']
  settings: {depth: 7, list: [a, b]}
image: busybox
steps:
  - {name: one, commands: ['true']}
  - {name: show, commands: ['cat file']}
  - {name: last, commands: ['true']}
"""
    (project / "file").write_text("committed\n")
    (project / ".ci.yml").write_text(pipeline)
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "one")
    done = ci_run("", "--clone", "--only", "show")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "clone | 7 a,b clone main\n" in done.stdout
    assert "| .ci.yml" not in done.stdout
    assert "show  | fetched\n" in done.stdout
    done = ci_run("")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| committed\n" in done.stdout
    assert "7 a,b" not in done.stdout
    assert done.stderr.count("built as they are here, without clone;") == 1


def test_outside_of_git(ci_run: Run, project: Path) -> None:
    """The folder is the project."""
    (project / "file").write_text("plain\n")
    done = ci_run(SHOW)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "show | plain\n" in done.stdout
    assert f"show | [] [{NOTHING}] [local/project]\n" in done.stdout


def test_a_file_that_is_named_from_elsewhere(ci_run: Run, project: Path, tmp_path: Path) -> None:
    """The project is the folder of the file, wherever one stands."""
    (project / "file").write_text("there\n")
    done = ci_run(SHOW, "project/.ci.yml", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "show | there\n" in done.stdout


def test_no_network(ci_run: Run) -> None:
    """--network none: steps see themselves only."""
    pipeline = "image: busybox\nsteps: [{name: a, commands: ['ls /sys/class/net']}]\n"
    done = ci_run(pipeline, "--network", "none")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a | lo\n" in done.stdout
    assert "eth0" not in done.stdout


def test_volumes(ci_run: Run, tmp_path: Path) -> None:
    """--volume: a folder that all steps see, written or only read; relative to where one stands."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/x").write_text("from the host\n")
    pipeline = "image: busybox\nsteps: [{name: a, commands: [cat /s/x, '! touch /s/y', echo made > /w/z]}]\n"
    done = ci_run(pipeline, "-v", "../shared:/s:ro", "--volume", f"{tmp_path}/shared:/w")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a | from the host\n" in done.stdout
    assert (tmp_path / "shared/z").read_text() == "made\n"


@pytest.mark.parametrize("option", ["--trusted", "--privileged-ok"])
def test_trust_by_either_name(ci_run: Run, option: str) -> None:
    """What reaches out of the containers is allowed by each."""
    pipeline = "image: busybox\nsteps: [{name: a, privileged: true, commands: [echo ran]}]\n"
    assert ci_run(pipeline).returncode == 2
    done = ci_run(pipeline, option)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_image_that_is_not_to_be_made(ci_run: Run) -> None:
    """--pull never: what is not there is said, and nothing runs."""
    done = ci_run("steps: [{name: a, image: 'nowhere.invalid/x:1', commands: [echo ran]}]\n", "--pull", "never")
    assert done.returncode == 2
    assert "nowhere.invalid/x:1" in done.stderr
    assert "ran" not in done.stdout


def test_the_work_on_images_is_told(ci_run: Run, tmp_path: Path) -> None:
    """While it goes on, beside the output: what an image is made from, and that it is there; the next time nothing."""
    home = {"HAKO_HOME": str(tmp_path / "home")}
    pipeline = "steps: [{name: a, image: busybox, commands: [echo ran]}]\n"
    first = ci_run(pipeline, "--network", "none", **home)
    assert first.returncode == 0, first.stderr
    lines = [line for line in first.stderr.splitlines() if line.startswith("ci-run: ")]
    assert any("busybox" in line and "using" in line for line in lines), first.stderr
    assert any(line.startswith("ci-run: made busybox:latest (") for line in lines), first.stderr
    assert "made" not in first.stdout
    assert "made" not in ci_run("", "--network", "none", **home).stderr


def test_one_job_at_a_time(ci_run: Run) -> None:
    """--jobs 1: stages run one after the other."""
    stage = "name: %s\nimage: busybox\nsteps: [{name: s, commands: [echo begin %s, sleep 0.2, echo end %s]}]\n"
    done = ci_run("---\n".join(stage % (name, name, name) for name in "ab"), "--jobs", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    said = [line.split()[-2:] for line in done.stdout.splitlines() if " | begin" in line or " | end" in line]
    assert [word for word, _ in said] == ["begin", "end", "begin", "end"]
