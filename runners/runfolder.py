"""The folder of one run: its workspaces, volumes and scripts, and by its lock the sign that the run lives.

`$HAKO_HOME/tmp/run-<hex>/` is locked (flock) by the runner's process for as long as that lives; containers and networks
carry the run's name as a label. So whatever says "run-x" while nobody holds the lock of run-x was left by a runner
that was killed, and `reclaim` may remove it. Used by `ci-run local` and by the runners of a server.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runners import folderlock
from sandbox.kernel.paths import remove_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

PREFIX = "run-"


class RunFolder:
    """`with RunFolder(home) as folder:` a fresh, locked folder (mode 0700), removed at the end."""

    def __init__(self, home: Path) -> None:
        self._tmp = home / "tmp"
        self._lock = -1
        self.name = ""
        self.path = self._tmp

    def __enter__(self) -> Self:
        self._tmp.mkdir(mode=0o700, parents=True, exist_ok=True)
        while self._lock < 0:
            self.name = PREFIX + os.urandom(6).hex()
            self.path = self._tmp / self.name
            self.path.mkdir(mode=0o700)
            self._lock = folderlock.lock(self.path, wait=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            remove_path(self.path)
        finally:
            os.close(self._lock)
            self._lock = -1


def is_alive(home: Path, name: str) -> bool:
    """Whether the run of this name still has its process."""
    descriptor = folderlock.lock(home / "tmp" / name)
    if descriptor >= 0:
        os.close(descriptor)
        return False
    return (home / "tmp" / name).is_dir()


def reclaim(home: Path, before: Callable[[str], None]) -> tuple[str, ...]:
    """Remove the folders of dead runs; `before` is called with each one's name to remove what else it has."""
    try:
        names = sorted(path.name for path in (home / "tmp").iterdir() if path.name.startswith(PREFIX))
    except FileNotFoundError:
        return ()
    removed = []
    for name in names:
        descriptor = folderlock.lock(home / "tmp" / name)
        if descriptor < 0:
            continue
        try:
            before(name)
            remove_path(home / "tmp" / name)
            removed.append(name)
        finally:
            os.close(descriptor)
    return tuple(removed)
