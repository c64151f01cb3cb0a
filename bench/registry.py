"""Debian's docker-registry as the other side of pulls and pushes: a process on loopback, its blobs in a folder.

Loopback is a network's own: for a daemon in a network of its own a second process is started there, on the same folder.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.harness import BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PATIENCE = 30.0  # seconds until it must listen


@contextmanager
def registry(folder: Path, *, prefix: tuple[str, ...] = ()) -> Iterator[str]:
    """One that listens: `127.0.0.1:port`. `prefix` begins its command line."""
    program = shutil.which("docker-registry")
    if program is None:
        raise BenchmarkError("docker-registry is not installed: apt-get install docker-registry")
    folder.mkdir(exist_ok=True)
    config, log = folder / "config.yml", folder / f"log{len(list(folder.iterdir()))}"
    storage = {"filesystem": {"rootdirectory": str(folder / "data")}}
    settings = {"version": 0.1, "storage": storage, "http": {"addr": "127.0.0.1:0", "secret": "-"}}
    config.write_text(json.dumps(settings))  # JSON is YAML
    with log.open("wb") as output:
        process = subprocess.Popen([*prefix, program, "serve", str(config)], stdout=output, stderr=output)
    try:
        yield _address(process, log)
    finally:
        process.kill()
        process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        found = re.search(r"listening on (127\.0\.0\.1:\d+)", log.read_text())
        if found:
            return found.group(1)
        time.sleep(0.02)
    raise BenchmarkError(f"docker-registry does not listen: {log.read_text()[-500:]}")
