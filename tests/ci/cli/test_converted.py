"""What `ci-run convert` makes of other systems' files does what they said, on the real engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.ci.cli.test_dialects import DRONE, WOODPECKER, Run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.root

WORKFLOW = """
on: {push: {branches: [main]}}
env: {GREETING: hello}
jobs:
  plan:
    runs-on: ubuntu-latest
    container: busybox
    outputs:
      version: ${{ steps.find.outputs.version }}
      items: ${{ steps.find.outputs.items }}
      cells: ${{ steps.find.outputs.cells }}
    steps:
      - uses: actions/checkout@v4
      - id: find
        run: |
          test -f file
          echo "version=1.2" >> "$GITHUB_OUTPUT"
          echo 'items=["a","b"]' >> $GITHUB_OUTPUT
          echo 'cells={"os":["x","y"]}' >> $GITHUB_OUTPUT
  test:
    needs: plan
    runs-on: ubuntu-latest
    container: {image: busybox, env: {X: "1"}}
    strategy:
      matrix: {item: [one, two], include: [{item: one, extra: more}]}
    steps:
      - run: echo "$GREETING $X ${{ matrix.item }}${{ matrix.extra }} ${{ needs.plan.outputs.version }}"
        if: github.ref == 'refs/heads/main' && matrix.item != 'three'
      - run: mkdir -p out && echo ${{ matrix.item }} > out/f
      - {uses: actions/upload-artifact@v4, with: {name: out, path: out}}
      - {run: exit 3, continue-on-error: true}
      - {run: echo never, if: failure()}
  each:
    needs: [plan]
    runs-on: ubuntu-latest
    container: busybox
    strategy: {matrix: {item: "${{ fromJSON(needs.plan.outputs.items) }}"}}
    steps: [{run: "echo each ${{ matrix.item }}"}]
  all:
    needs: [plan]
    runs-on: ubuntu-latest
    container: busybox
    strategy: {matrix: "${{ fromJSON(needs.plan.outputs.cells) }}"}
    steps: [{run: "echo all ${{ matrix.os }}"}]
"""


def printed(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines that steps have printed, their commands aside, in no order."""
    assert done.returncode == 0, done.stdout + done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return sorted(one["line"] for one in events if one["event"] == "output" and not one["line"].startswith("+ "))


@pytest.fixture
def repository(project: Path) -> Path:
    """The project, with a commit on main."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(project)]
    (project / "file").write_text("")
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "one"], check=True)
    return project


def converted(project: Path, name: str, text: str) -> str:
    """What it is in our own language."""
    path = project / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    command = [sys.executable, "-m", "ci.cli.main", "convert", str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
    path.unlink()
    return done.stdout


def test_a_workflow_of_github(ci_run: Run, repository: Path) -> None:
    """Jobs, outputs of steps and jobs, matrices written and made of outputs, conditions, steps that may fail."""
    done = ci_run(converted(repository, ".github/workflows/ci.yml", WORKFLOW), "--json")
    assert printed(done) == [
        "all x",
        "all y",
        "each a",
        "each b",
        "hello 1 onemore 1.2",
        "hello 1 two 1.2",
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [(".drone.yml", DRONE.replace("^^", "").replace(" ${GREETING}", "", 1)), (".woodpecker.yml", WOODPECKER)],
)
def test_files_of_the_other_systems(ci_run: Run, repository: Path, name: str, text: str) -> None:
    """The steps print the same, but for where the workspace is and what the system is called.

    What is something else for a shell is noted, and left out here: `^^` wants bash, and what drone made nothing of is
    a variable.
    """
    (repository / name).write_text(text)
    before = printed(ci_run("", "--json"))
    after = printed(ci_run(converted(repository, name, text), "--json"))
    for old, new in (("/drone/src", "/hako/src"), ("woodpecker woodpecker", "hako woodpecker")):
        before = sorted(line.replace(old, new) for line in before)
    assert after == before
