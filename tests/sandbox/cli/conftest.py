"""The `sandbox` command as people run it: a process of its own, on the state directory that a test run shares."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMAND = [sys.executable, "-m", "sandbox.cli.main"]
TIMEOUT = 60


class Sandbox(Protocol):
    """Runs `sandbox WORDS…` to its end."""

    environment: dict[str, str]

    def __call__(self, *words: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        """Its exit code and what it printed."""


class _Sandbox:
    def __init__(self, home: Path, repository: Path) -> None:
        self.environment = {**os.environ, "HAKO_HOME": str(home), "PYTHONPATH": str(repository)}

    def __call__(self, *words: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *words],
            env=self.environment | environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT,
        )


@pytest.fixture
def sandbox(engine_home: Path, repository: Path) -> Sandbox:
    """The command on the shared state directory."""
    return _Sandbox(engine_home, repository)


@pytest.fixture
def empty(hako_home: Path, repository: Path) -> Sandbox:
    """The command on a state directory of this test alone, without images."""
    return _Sandbox(hako_home, repository)


@pytest.fixture
def name(sandbox: Sandbox) -> Iterator[str]:
    """A container's name that nobody else uses; whatever has it at the end is removed."""
    chosen = f"cli-{uuid.uuid4().hex[:12]}"
    yield chosen
    sandbox("rm", "-f", chosen)
