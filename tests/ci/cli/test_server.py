"""`ci-run server`: from its start to its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import urllib3

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = [sys.executable, "-m", "ci.cli.main", "server"]


@pytest.fixture
def home() -> Iterator[Path]:
    """A home with a short name, as it has a socket."""
    with tempfile.TemporaryDirectory(prefix="hako-home-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.mark.slow
def test_it_serves_until_it_is_told_to_end(home: Path) -> None:
    """It makes what it needs, and leaves no process."""
    environment = {**os.environ, "HAKO_HOME": str(home), "HAKO_LISTEN": "127.0.0.1:0"}
    with subprocess.Popen(COMMAND, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stderr is not None
        line = server.stderr.readline().decode()
        url = line.removeprefix("ci-run: serving ").partition(";")[0]
        response = urllib3.request("GET", f"{url}/readyz", timeout=60)
        assert response.status == 200
        assert (home / "server" / "server.db").exists()
        token = home / "server" / "runner-token"
        assert token.stat().st_mode & 0o777 == 0o600
        headers = {"Authorization": f"Bearer {token.read_text().strip()}"}
        hello = urllib3.request("POST", f"{url}/rpc/v1/hello", json={}, headers=headers, timeout=60)
        assert hello.json()["heartbeat"] > 0
        server.send_signal(signal.SIGTERM)
        _, said = server.communicate(timeout=60)
    assert "Traceback" not in said.decode()
    assert not (home / "server" / "valkey" / "valkey.sock").exists()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("HAKO_LISTEN", "nonsense", "HAKO_LISTEN is 'nonsense' (write HOST:PORT)"),
        ("HAKO_DATABASE_URL", "nonsense", "cannot use the database 'nonsense'"),
        ("HAKO_REDIS_URL", "nonsense", "HAKO_REDIS_URL: "),
    ],
)
def test_settings_that_make_no_sense(home: Path, name: str, text: str, words: str) -> None:
    """One line, before anything is served."""
    environment = {**os.environ, "HAKO_HOME": str(home), "HAKO_LISTEN": "127.0.0.1:0", name: text}
    result = subprocess.run(COMMAND, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 2
    assert result.stderr.startswith("ci-run: ")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
