"""Podman on a storage of its own, for the tests that hold our engine against it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HAS_PODMAN = shutil.which("podman") is not None and os.geteuid() == 0


class Podman:
    """The `podman` command, which knows nothing but what is in `state`."""

    def __init__(self, state: Path) -> None:
        self._place = (
            f"--root={state / 'root'}",
            f"--runroot={state / 'run'}",
            "--storage-driver=vfs",
            "--cgroup-manager=cgroupfs",
        )

    def __call__(self, *words: str, stdin: bytes = b"") -> bytes:
        """What it printed; the test fails with its complaint where it does."""
        done = subprocess.run(
            ["podman", *self._place, *words], input=stdin, capture_output=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout


@contextlib.contextmanager
def podman_storage() -> Iterator[Podman]:
    """Podman with an empty storage, which is removed at the end.

    Podman refuses a path of more than 50 characters for it; one below pytest's `tmp_path` is sometimes longer.
    """
    with tempfile.TemporaryDirectory(prefix="hako-podman-", dir="/tmp") as state:
        yield Podman(Path(state))
