"""A throw-away state directory with the image `busybox`, for every benchmark of the engine, and our commands on it."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.harness import BenchmarkError, process
from sandbox.network.networks import Networks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bench.harness import Setup


@contextmanager
def engine_home(setup: Setup) -> Iterator[Path]:
    """Make it; its bridge goes afterwards, the caller's folder is removed as a whole."""
    home = setup.directory / "home"
    home.mkdir(mode=0o700)
    made = subprocess.run(
        [setup.commands / "sandbox", "bootstrap", "busybox"],
        env={**os.environ, "HAKO_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise BenchmarkError(f"sandbox bootstrap busybox: {made.stderr.strip()}")
    try:
        yield home
    finally:
        if os.geteuid() == 0:  # an ordinary user has no bridges
            Networks(home / "networks").tear_down()


def sandbox(setup: Setup, home: Path, *words: str | Path) -> Callable[[], float]:
    """A measure of `sandbox WORDS` on it, whole process."""
    return process([setup.commands / "sandbox", *words], environment={**os.environ, "HAKO_HOME": str(home)})
