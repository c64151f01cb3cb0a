"""The look for what a run leaves behind finds what it is there for."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.project.leaks import Snapshot, left_behind


def test_a_marked_process_is_named_until_it_ends() -> None:
    """A process that carries the run's mark is reported with its command, and no longer once it has ended."""
    before = Snapshot.take()
    mark = {"HAKO_TEST_LEAK": str(os.getpid())}
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env={**os.environ, **mark})
    line = f"HAKO_TEST_LEAK={os.getpid()}"
    try:
        found = left_behind(before, mark=line, patience=0)
        assert any(entry.startswith(f"process {sleeper.pid}: ") for entry in found), found
    finally:
        sleeper.communicate(b"\n")
    assert not [entry for entry in left_behind(before, mark=line, patience=0) if entry.startswith("process")]
