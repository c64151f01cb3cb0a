"""The workspace of a project that is kept from one local run to the next, so that only what has changed is copied.

`$HAKO_HOME/workspaces/<key>/` belongs to one project, by its path: `tree` is the workspace, `manifest` what was copied
into it, `project` the path. A run holds the folder's lock (flock) as long as it lives; another run of the same project
at the same time does without. What steps do to the tree needs no tidying up: whatever is not as the manifest says is
copied anew (`runners.freshness`), so that a run that was killed leaves nothing to mend either.

Folders whose project is gone, or that nobody has used for two weeks, are removed when a run begins.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from runners import folderlock
from sandbox.kernel.paths import remove_path

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

FOLDER = "workspaces"
_FOR = 14 * 86400  # seconds that one is kept without being used


class Slot:
    """`with Slot(home, project) as slot:` its `tree` and `manifest` are this run's if `taken`."""

    def __init__(self, home: Path, project: Path) -> None:
        self._all = home / FOLDER
        self._project = os.fsencode(project)
        self.path = self._all / hashlib.sha256(self._project).hexdigest()[:16]
        self.tree = self.path / "tree"
        self.manifest = self.path / "manifest"
        self._lock = -1

    @property
    def taken(self) -> bool:
        """Whether it is this run's."""
        return self._lock >= 0

    def __enter__(self) -> Self:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = folderlock.lock(self.path)
        if self.taken:
            (self.path / "project").write_bytes(self._project)
            os.utime(self.path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.taken:
            os.close(self._lock)
            self._lock = -1

    def reclaim(self) -> None:
        """Remove those of other projects that are of no use any more."""
        for path in self._all.iterdir():
            if path != self.path and _is_stale(path) and (lock := folderlock.lock(path)) >= 0:
                try:
                    remove_path(path)
                finally:
                    os.close(lock)


def _is_stale(path: Path) -> bool:
    try:
        project = Path(os.fsdecode((path / "project").read_bytes()))
        return time.time() - path.stat().st_mtime > _FOR or not project.is_dir()
    except FileNotFoundError:
        return False  # it is being made
