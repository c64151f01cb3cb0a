"""The beginning of the installed commands."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

# A module that the entry point loads after its handler is set; the line that finds it sends this process Ctrl-C.
PROGRAM = """
import os, signal, sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
        return None
signal.signal(signal.SIGINT, signal.default_int_handler if {caught} else signal.SIG_IGN)
sys.meta_path.insert(0, Interrupting())
import {entry}
print("loaded")
"""


@pytest.mark.parametrize("package", ["sandbox", "ci"])
@pytest.mark.parametrize(("caught", "code", "output"), [(True, 130, ""), (False, 0, "loaded\n")])
def test_ctrl_c_while_loading(package: str, caught: bool, code: int, output: str) -> None:
    """Ctrl-C before the command's own code is loaded ends it with 130 and no word; where it is ignored it stays so."""
    program = PROGRAM.format(module=f"{package}.cli.main", entry=f"{package}.cli.entry", caught=caught)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (code, output, "")


@pytest.mark.parametrize(("command", "package"), [("sandbox", "sandbox"), ("ci-run", "ci")])
def test_the_command_comes_to_its_entry_at_once(repository: Path, command: str, package: str) -> None:
    """Of Python's modules only `site` is loaded before the handler is set: what a Ctrl-C could break up is short."""
    words = [sys.executable, "-X", "importtime", str(repository / "scripts/commands" / command), "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=30)
    loaded = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines()]
    assert loaded[loaded.index("site") + 1 :][:2] == [package, f"{package}.cli"]


def test_main_takes_ctrl_c_back() -> None:
    """Once `main` runs, Ctrl-C is Python's again, so that verbs can clean up."""
    program = (
        "import signal, sandbox.cli.entry, sandbox.cli.main as m; m.command(['--help']);"
        "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30)
    assert done.stdout.endswith("True\n")
