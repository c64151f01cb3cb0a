"""A project, and `ci-run local` in it: to its end, or in the background. Afterwards nothing of its runs may be left."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.ci.cli.running import COMMAND, left_behind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder to build."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def ci_run(project: Path, engine_home: Path) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Runs `ci-run local` in the project, with a pipeline written to its .ci.yml."""

    def run(
        pipeline: str = "", *arguments: str, cwd: Path = project, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        if pipeline:
            (project / ".ci.yml").write_text(pipeline)
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=cwd,
            env=os.environ | {"HAKO_HOME": str(engine_home)} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
            timeout=100,
        )

    yield run
    left_behind(engine_home, str(project))


@pytest.fixture
def background(project: Path, engine_home: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts `ci-run local` and goes on."""
    started: list[subprocess.Popen[bytes]] = []

    def start(pipeline: str, *arguments: str) -> subprocess.Popen[bytes]:
        (project / ".ci.yml").write_text(pipeline)
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=project,
            env=os.environ | {"HAKO_HOME": str(engine_home)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    left_behind(engine_home, str(project))
