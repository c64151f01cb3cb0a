"""The folder of a Stage that a runner has: `$HAKO_HOME/runner/stages/<id>/`, with its outbox, its lock and its process.

Whoever works for the Stage holds the lock (flock): its process and its courier, both by one descriptor that they have
in common. So the folders say which Stages a runner has, also to a runner that begins anew while processes of the former
one still work; and a folder without a holder is one of a Stage whose processes were killed. Called by `worker`, `pulse`
and `agent`.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from runners import folderlock
from runners.outbox import JOURNAL, has_end
from sandbox.kernel import process
from sandbox.kernel.paths import remove_path

if TYPE_CHECKING:
    import signal
    from pathlib import Path

FOLDER = "stages"
_PROCESS = "process"
_PATIENCE = 5.0  # seconds for a courier that is about to remove the folder of an earlier attempt


class StageFolder:
    """Of one Stage."""

    def __init__(self, root: Path, stage: int) -> None:
        self.stage = stage
        self.path = root / FOLDER / str(stage)
        self._lock = -1

    @property
    def accepted(self) -> bool:
        """Whether the server has given us the Stage."""
        return (self.path / JOURNAL).exists()

    @property
    def has_end(self) -> bool:
        """Whether the Stage is over, and the server is to hear of it."""
        return has_end(self.path)

    def make(self) -> bool:
        """For a Stage that begins; False where it is another's, or holds what the server has not been told yet."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.take():
                if not self.accepted:
                    (self.path / _PROCESS).write_text(f"{os.getpid()} {process.start_time(os.getpid())}")
                    return True
                self.release()
                return False
            time.sleep(0.02)
        return False

    def take(self) -> bool:
        """Lock it; False where somebody works for the Stage, or the folder is gone."""
        self._lock = folderlock.lock(self.path)
        return self._lock >= 0

    def leave(self) -> None:
        """The Stage's process ends: it is not to be told anything any more. Its courier may stay."""
        with suppress(FileNotFoundError):
            (self.path / _PROCESS).unlink()

    def signal(self, number: signal.Signals) -> None:
        """Tell the Stage's process, if there is one."""
        try:
            pid, started = map(int, (self.path / _PROCESS).read_text().split())
            if process.start_time(pid) == started:
                os.kill(pid, number)
        except (OSError, ValueError):
            return

    def remove(self) -> None:
        """The server knows everything, or does not want to."""
        with suppress(FileNotFoundError):
            remove_path(self.path)
        self.release()

    def release(self) -> None:
        """Give the lock back, as far as this process has it."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def all_of(root: Path) -> tuple[StageFolder, ...]:
    """Those that are there, of living and dead Stages."""
    try:
        names = sorted(path.name for path in (root / FOLDER).iterdir() if path.name.isdecimal())
    except FileNotFoundError:
        return ()
    return tuple(StageFolder(root, int(name)) for name in names)
