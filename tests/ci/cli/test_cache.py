"""Caches of steps: `ci-run local` on the real engine, and `ci-run cache`."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.root

_PIPELINE = """
image: busybox
steps:
  - name: install
    commands:
      - cat deps/have /tool/have 2>/dev/null || echo nothing
      - mkdir -p deps && cat lock > deps/have && cat lock > /tool/have
    cache:
      paths: [deps, /tool]
      key: deps-{{ checksum lock }}
      fallback: deps-
  - name: use
    commands: ['test "$(cat deps/have)" = "$(cat lock)"']
"""


@pytest.fixture
def cache(engine_home: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `ci-run cache`."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ci.cli.main", "cache", *words],
            env=os.environ | {"HAKO_HOME": str(engine_home)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_from_run_to_run(
    ci_run: Callable[..., subprocess.CompletedProcess[str]],
    cache: Callable[..., subprocess.CompletedProcess[str]],
    project: Path,
) -> None:
    """What a step leaves under a key is there the next time; under another key, what is nearest."""
    (project / "lock").write_text("one\n")
    done = ci_run(_PIPELINE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "install | nothing\n" in done.stdout
    assert "is kept (" in done.stdout
    done = ci_run(_PIPELINE)
    assert "install | one\ninstall | one\n" in done.stdout
    assert "is kept (" not in done.stdout
    (project / "lock").write_text("two\n")
    done = ci_run(_PIPELINE)
    assert "install | one\ninstall | one\n" in done.stdout
    assert "is kept (" in done.stdout
    done = ci_run(_PIPELINE)
    assert "install | two\ninstall | two\n" in done.stdout
    done = ci_run(_PIPELINE, "--no-cache")
    assert "install | nothing\n" in done.stdout
    listed = cache("ls").stdout
    assert len([line for line in listed.splitlines() if str(project) in line]) == 2
    assert cache("rm", "deps-*", "--project", str(project)).stdout.startswith("removed 2 caches, ")
    assert str(project) not in cache("ls").stdout


def test_a_step_that_fails_keeps_nothing(ci_run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Half of an installation is no cache. One that passed keeps its own, though the stage has failed."""
    pipeline = """
image: busybox
steps:
  - name: good
    commands: [cat a || touch a]
    cache: a
  - name: bad
    commands: [cat b || touch b, exit 1]
    cache: {paths: b, key: b}
"""
    done = ci_run(pipeline)
    assert "the cache good is kept" in done.stdout
    assert "the cache b is kept" not in done.stdout
    done = ci_run(pipeline)
    assert "good: the cache good is back" in done.stdout
    assert "bad: there is no cache b yet" in done.stdout


def test_links_lead_nowhere(ci_run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    """A step that puts a link where a cache is to be does not write, or read, outside of its workspace."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("hunter22")
    pipeline = f"""
image: busybox
steps:
  - name: plant
    commands: [ln -s {outside} way, ln -s {outside} whole]
  - name: fill
    commands: ["true"]
    cache: [way/secret, whole, way/new]
"""
    done = ci_run(pipeline)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "could not be kept: there is nothing at way/secret, whole, way/new" in done.stdout
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]


def test_cells_share_a_cache(ci_run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """At the same time, each with a copy of its own."""
    pipeline = """
image: busybox
matrix: {N: [1, 2, 3, 4]}
steps:
  - name: a
    commands: ['cat shared/* 2>/dev/null || true', 'mkdir -p shared', 'echo "$N" >> shared/file']
    cache: {paths: shared, key: all}
"""
    for _ in range(2):
        done = ci_run(pipeline, "--jobs", "4")
        assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("the cache all is back") == 4


def test_mistakes(cache: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """One line each, exit code 2."""
    for words, text in (
        (("rm",), "ci-run: which caches? (name keys or patterns, or say --all)\n"),
        (("rm", "no-such-key"), "ci-run: no cache has the key 'no-such-key' (`ci-run cache ls` lists them)\n"),
        (("prune", "--older-than", "soon"), 'ci-run: --older-than: "soon" is not a duration'),
        (("prune", "--limit", "much"), 'ci-run: --limit: "much" is not a size'),
    ):
        done = cache(*words)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(text)
