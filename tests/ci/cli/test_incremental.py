"""`ci-run local --incremental` on the real engine: what is not run again, and that nobody can tell from the files."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.root

_PIPELINE = """
image: busybox
steps:
  - name: generate
    commands:
      - mkdir -p out/empty && cat source > out/copy && ln -s copy out/link
      - chown 1000:1001 out/copy && chmod 640 out/copy && rm obsolete && chmod 700 folder
      - echo "size=$(wc -c < source)" >> "$CI_OUTPUT"
  - name: test
    commands:
      - test "$(stat -c '%u:%g %a' out/copy)" = "1000:1001 640"
      - test "$(readlink out/link)" = copy && test -d out/empty && test ! -e obsolete
      - test "$(stat -c %a folder)" = 700
      - test "$SIZE" = "$(wc -c < source)" && cat out/copy
      - echo "secret is $(echo "$TOKEN" | wc -c)"
    environment: {SIZE: {from_output: generate.size}}
    secrets: [token]
  - name: other
    commands: [cat other 2>/dev/null || true]
"""


@pytest.fixture
def run(ci_run: Callable[..., subprocess.CompletedProcess[str]], project: Path) -> Callable[..., list[str]]:
    """Runs the pipeline in a project with some files; the steps that were not run again."""
    (project / "source").write_text("one\n")
    (project / "obsolete").write_text("")
    (project / "folder").mkdir()
    (project / "folder" / "file").write_text("")

    def run(pipeline: str = _PIPELINE, value: str = "hunter22") -> list[str]:
        done = ci_run(pipeline, "--incremental", "--json", "--secret", f"token={value}")
        assert done.returncode == 0, done.stdout + done.stderr
        last = json.loads(done.stdout.splitlines()[-1])
        return [step["name"] for step in last["stages"][0]["steps"] if step["cached"]]

    return run


def test_what_has_not_changed_is_not_run_again(run: Callable[..., list[str]], project: Path) -> None:
    """Each step by what it meets: files, secrets, its own text; and what was true once is known again."""
    assert run() == []
    assert run() == ["generate", "test", "other"]
    (project / "other").write_text("x")
    assert run() == []
    (project / "other").unlink()
    assert run() == ["generate", "test", "other"]
    assert run(_PIPELINE, "hunter2222") == ["generate", "other"]
    assert run(_PIPELINE + "# the pipeline is a file of the project, too\n") == []
    (project / "source").write_text("two\n")
    assert run() == []
    (project / "source").chmod(0o755)
    assert run() == []


def test_time_alone_changes_nothing(run: Callable[..., list[str]], project: Path) -> None:
    """A file that was touched is the same file."""
    assert run() == []
    os.utime(project / "source", (1, 1))
    assert run() == ["generate", "test", "other"]


def test_failures_and_early_ends_run_again(ci_run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Only what has passed is known."""
    pipeline = """
image: busybox
steps:
  - {name: a, commands: [exit 1], failure: ignore}
  - {name: b, commands: [exit 78]}
"""
    for _ in range(2):
        done = ci_run(pipeline, "--incremental")
        assert "cached" not in done.stdout


def test_steps_that_would_run_together_run_one_by_one(ci_run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """So that what each has changed is its own."""
    pipeline = """
image: busybox
steps:
  - {name: a, commands: [sleep 0.1, touch a], depends_on: []}
  - {name: b, commands: [sleep 0.1, touch b], depends_on: []}
  - {name: c, commands: [test -e a, test -e b], depends_on: [a, b]}
"""
    for _ in range(2):
        done = ci_run(pipeline, "--incremental")
        assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("= cached: passed in ") == 3


def test_services_run_everything(ci_run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """What a service holds is not known; it is said."""
    pipeline = """
services: [{name: db, image: busybox, commands: [sleep 600]}]
steps: [{name: a, image: busybox, commands: [touch a]}]
"""
    for _ in range(2):
        done = ci_run(pipeline, "--incremental")
        assert "all steps are run again: it has services" in done.stdout
        assert "cached" not in done.stdout


def test_in_a_repository(run: Callable[..., list[str]], project: Path) -> None:
    """A commit, and a tag, are changes, though no file of the project is another."""

    def git(*words: str) -> None:
        name = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *name, *words], cwd=project, check=True, capture_output=True)

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    assert run() == []
    assert run() == ["generate", "test", "other"]
    git("commit", "-qm", "two", "--allow-empty")
    assert run() == []
    git("tag", "v1")
    assert run() == []
    assert run() == ["generate", "test", "other"]


def test_outputs_with_secrets_are_not_kept(
    ci_run: Callable[..., subprocess.CompletedProcess[str]], engine_home: Path
) -> None:
    """Nothing of a secret is written to the disk."""
    pipeline = """
steps:
  - {name: a, image: busybox, commands: ['echo "v=$TOKEN" >> "$CI_OUTPUT"'], secrets: [token]}
"""
    for _ in range(2):
        done = ci_run(pipeline, "--incremental", "--secret", "token=a-very-special-secret")
        assert "cached" not in done.stdout
    for path in (engine_home / "stepresults").rglob("*.json"):
        assert "a-very-special-secret" not in path.read_text()
