"""The workspaces of a runner: folders that are kept from one Stage of a repository to the next, one user at a time.

`$HAKO_HOME/runner/workspaces/<repository>/<n>/` is a Stage's by its lock (flock), so that a runner that was killed
holds none. As many as have been needed at once are there; who needs one takes the first that is free. Those that nobody
has used for two weeks are removed when a runner begins. Called by `worker`; what is in one is `checkout`'s affair.
"""

from __future__ import annotations

import os
import time
from itertools import count
from typing import TYPE_CHECKING

from runners import folderlock
from sandbox.kernel.paths import remove_path

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

FOLDER = "workspaces"
_FOR = 14 * 86400  # seconds that one is kept without being used


class TreeSlot:
    """`with TreeSlot(root, key) as slot:` its `path` is a folder of the repository `key`, ours alone."""

    def __init__(self, root: Path, key: str) -> None:
        self._all = root / FOLDER / key
        self._lock = -1
        self.path = self._all

    def __enter__(self) -> Self:
        for number in count():
            self.path = self._all / str(number)
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = folderlock.lock(self.path)
            if self._lock >= 0:
                break
        os.utime(self.path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)
        self._lock = -1


def reclaim(root: Path, now: float | None = None) -> None:
    """Remove what nobody has used for long."""
    oldest = (time.time() if now is None else now) - _FOR
    for path in (root / FOLDER).glob("*/*"):
        if path.stat().st_mtime < oldest and (lock := folderlock.lock(path)) >= 0:
            try:
                remove_path(path)
            finally:
                os.close(lock)
