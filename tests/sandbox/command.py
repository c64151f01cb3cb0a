"""The `sandbox` command as people run it: a process of its own, on a state directory."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = [sys.executable, "-m", "sandbox.cli.main"]
TIMEOUT = 60


class Sandbox:
    """Runs `sandbox WORDS…` in an `environment`."""

    def __init__(self, home: Path, repository: Path) -> None:
        self.environment = {**os.environ, "HAKO_HOME": str(home), "PYTHONPATH": str(repository)}

    def __call__(self, *words: str, stdin: str | bytes = "", **environment: str) -> subprocess.CompletedProcess[str]:
        """To its end: its exit code, and what it printed as text."""
        done = self._run(words, stdin.encode() if isinstance(stdin, str) else stdin, environment)
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def printed(self, *words: str) -> bytes:
        """What it prints, as it is."""
        return self._run(words, b"", {}).stdout

    def _run(
        self, words: tuple[str, ...], stdin: bytes, environment: dict[str, str]
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*COMMAND, *words],
            env=self.environment | environment,
            input=stdin,
            capture_output=True,
            check=False,
            timeout=TIMEOUT,
        )

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """In the background, standard error to be read."""
        return subprocess.Popen(
            [*COMMAND, *words], env=self.environment, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
