"""The scripts of set-up and CI, as far as they can be tried without a bare machine."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

SCRIPTS = ("scripts/setup", "scripts/demo", "scripts/lock", ".ci/run")


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_parse_and_are_executable(repository: Path, script: str) -> None:
    """Every script may be executed and is valid bash."""
    path = repository / script
    assert os.access(path, os.X_OK)
    assert path.read_text().startswith("#!/bin/bash\n")
    done = subprocess.run(["/bin/bash", "-n", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_make_lists_what_it_can_do(repository: Path) -> None:
    """`make` alone names each target that a person may ask for, one a line."""
    listed = subprocess.run(["make"], cwd=repository, capture_output=True, text=True, check=True).stdout
    for target in ("demo", "test", "check", "bench", "format", "lock", "clean"):
        assert f"make {target} " in listed
