"""What a cold `sandbox run` loads: its whole time is mostly imports, so a heavy one must not slip in."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

# Each costs between one and thirty milliseconds of a run that has seventy; the path of a run can do without them.
HEAVY = {
    "argparse",
    "asyncio",
    "dataclasses",
    "datetime",
    "email",
    "http",
    "importlib.metadata",
    "inspect",
    "logging",
    "multiprocessing",
    "pygit2",
    "random",
    "shutil",
    "subprocess",
    "tempfile",
    "tomllib",
    "yaml",
}


@pytest.mark.root
@pytest.mark.parametrize("network", ["none", "bridge"])
def test_a_run_loads_nothing_heavy(repository: Path, engine_home: Path, network: str) -> None:
    """The command, the supervisor and init of one `sandbox run` import no heavy module of the standard library."""
    command = f"-X importtime -m sandbox.cli.main run --rm --network {network} busybox true"
    done = subprocess.run(
        [sys.executable, *command.split()],
        cwd=repository,
        env={**os.environ, "HAKO_HOME": str(engine_home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "sandbox.runtime.engine" in loaded
    assert not HEAVY & loaded
