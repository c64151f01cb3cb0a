"""Style, types and import contracts are tests like any other."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def _run(repository: Path, *command: str) -> None:
    """Run a tool of the environment that runs the tests; its report is the failure's text."""
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"{' '.join(command[1:])}\n{done.stdout}{done.stderr}", pytrace=False)


def test_ruff_finds_nothing(repository: Path) -> None:
    """`ruff check` is clean."""
    _run(repository, sys.executable, "-m", "ruff", "check", "--quiet", ".")


def test_files_are_formatted(repository: Path) -> None:
    """`ruff format` would change nothing."""
    _run(repository, sys.executable, "-m", "ruff", "format", "--check", "--quiet", ".")


@pytest.mark.slow
def test_types_hold(repository: Path) -> None:
    """`mypy` in strict mode is clean for the packages, the tests and the benchmarks."""
    _run(repository, sys.executable, "-m", "mypy", "--no-error-summary")


def test_import_contracts_hold(repository: Path) -> None:
    """The packages import each other only as ARCHITECTURE.md allows."""
    code = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    _run(repository, sys.executable, "-c", code, "--no-logo")
