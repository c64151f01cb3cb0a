"""A real `ci-run server` for the tests of the verbs that talk to one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


class Running(NamedTuple):
    """A server; `home` is its $HAKO_HOME."""

    url: str
    home: Path


@contextmanager
def server() -> Iterator[Running]:
    """One that runs, in a folder of its own whose name is short, as there is a socket in it."""
    with tempfile.TemporaryDirectory(prefix="hako-home-", dir="/tmp") as folder:
        environment = {**os.environ, "HAKO_HOME": folder, "HAKO_LISTEN": "127.0.0.1:0"}
        with (Path(folder) / "output").open("wb") as output:
            command = [sys.executable, "-m", "ci.cli.main", "server"]
            with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=output) as process:
                assert process.stderr is not None
                line = process.stderr.readline().decode()
                try:
                    assert "serving " in line, line
                    yield Running(line.partition("serving ")[2].partition(";")[0], Path(folder))
                finally:
                    process.send_signal(signal.SIGTERM)
                    process.communicate(timeout=60)


def ci_run(
    words: list[str], environment: dict[str, str], *, said: str = "", code: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run a verb; `said` is its standard input."""
    result = subprocess.run(
        [sys.executable, "-m", "ci.cli.main", *words],
        env={**os.environ, **environment},
        input=said,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == code, result.stderr
    return result
