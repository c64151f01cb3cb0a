"""The folders that the Stages of a local run build in.

The work tree is copied once, when the run begins; each Stage gets a copy of that copy when it starts, the last one the
first copy itself. A folder is removed when its Stage is over, or kept where the next start does not reclaim it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runners import workspace

if TYPE_CHECKING:
    from pathlib import Path

    from ci.pipeline.spec import StageSpec
    from runners.backend import HostMount
    from runners.workspace import Snapshot


class Workspaces:
    """For `count` Stages, in `folder`; with `keep` they are moved there in the end, and `kept` are their paths."""

    def __init__(self, copied: Snapshot, folder: Path, *, count: int, keep: Path | None) -> None:
        self.kept: list[Path] = []
        self._copied = copied
        self._folder = folder
        self._left = count
        self._keep = keep

    @property
    def mounts(self) -> tuple[HostMount, ...]:
        """What containers need beside the workspace."""
        return self._copied.mounts

    def make(self, stage: StageSpec) -> Path:
        """The folder of a Stage that starts. Raises OSError."""
        path = self._path(stage)
        self._left -= 1
        if self._left > 0:
            workspace.copy(self._copied.path, path)
        else:
            self._copied.path.rename(path)
        return path

    def release(self, stage: StageSpec) -> None:
        """The Stage is over."""
        path = self._path(stage)
        if self._keep is None:
            workspace.remove(path)
        elif path.is_dir():
            self._keep.mkdir(mode=0o700, exist_ok=True)
            kept = self._keep / f"{self._folder.name}-{stage.number}"
            path.rename(kept)
            workspace.settle(self._copied, kept)
            self.kept.append(kept)

    def _path(self, stage: StageSpec) -> Path:
        return self._folder / f"workspace-{stage.number}"
