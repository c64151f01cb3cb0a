"""The folders that the Stages of a local run build in.

The work tree is copied once, when the run begins; each Stage gets a copy of that copy when it starts, the last one the
first copy itself. What is in the project's slot stays for the next run; other folders go with the run's, or are kept
where the next start does not reclaim them.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from runners import workspace
from runners.inventory import inventory
from runners.writeback import write_back

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ci.pipeline.spec import Clone, StageSpec
    from runners.backend import HostMount
    from runners.inventory import Stamp
    from runners.treepool import TreePool
    from runners.workspace import Snapshot

_SHOWN = 10  # paths that are named


class Workspaces:
    """For `count` Stages, in `folder`; with `keep` they are moved there in the end, and `kept` are their paths.

    `cloned`, where there is one, gives the folder of a clone in place of the copy.

    With `write` what a Stage changed goes back into the work tree when it is over; `written` says what that was.
    """

    def __init__(
        self,
        copied: Snapshot,
        folder: Path,
        *,
        count: int,
        keep: Path | None,
        write: bool,
        pool: TreePool,
        cloned: Callable[[Clone], Path] | None = None,
    ) -> None:
        self._cloned = cloned
        self._pool = pool
        self._paths: dict[int, Path] = {}  # by the numbers of Stages
        self.kept: list[Path] = []
        self.written: list[str] = []
        self._write = write
        self._fresh: dict[int, dict[bytes, Stamp]] = {}
        self._copied = copied
        self._folder = folder
        self._left = count
        self._keep = keep
        self._last = 0  # the number of the Stage that builds in the first copy itself

    @property
    def mounts(self) -> tuple[HostMount, ...]:
        """What containers need beside the workspace."""
        return self._copied.mounts

    def expect(self, more: int) -> None:
        """So many more Stages than was said (fewer, where negative)."""
        self._left += more

    def make(self, stage: StageSpec) -> Path:
        """The folder of a Stage that starts, empty unless the project is fetched for it. Raises OSError."""
        self._left -= 1
        own = self._folder / f"workspace-{stage.number}"
        if not stage.clone.by_runner:
            own.mkdir(mode=0o755)
            path = own
        elif self._cloned is not None:
            workspace.copy(self._cloned(stage.clone), own)
            path = own
        elif self._left > 0:
            path = self._pool.take(self._copied.path)
        else:
            self._last = stage.number
            path = self._copied.path
        self._paths[stage.number] = path
        if self._write:
            self._fresh[stage.number] = inventory(path)
        return path

    def release(self, stage: StageSpec) -> None:
        """The Stage is over."""
        path = self._paths.get(stage.number)
        if path is None:  # it could not be made
            return
        fresh = self._fresh.pop(stage.number, None)
        if fresh is not None:
            self._write_back(path, fresh)
        if self._keep is not None and path.is_dir():
            self._keep.mkdir(mode=0o700, exist_ok=True)
            kept = self.kept_path(stage)
            path.rename(kept)
            workspace.settle(self._copied, kept)
            self.kept.append(kept)
        if path.parent == self._folder and path != self._copied.path:
            workspace.remove(path)
        elif path != self._copied.path:
            self._pool.give(path)

    def kept_path(self, stage: StageSpec) -> Path:
        """Where the workspace of a Stage will be kept."""
        return (self._keep or self._folder) / f"{self._folder.name}-{stage.number}"

    @property
    def settled_mounts(self) -> tuple[HostMount, ...]:
        """What a container needs beside a workspace that is kept: its repositories borrow from their own places."""
        return tuple(replace(mount, target=mount.source) for mount in self._copied.mounts)

    def _write_back(self, path: Path, fresh: dict[bytes, Stamp]) -> None:
        try:
            done = write_back(path, self._copied.source, fresh)
        except OSError as error:
            self.written.append(f"could not write the results back: {error.filename}: {error.strerror}")
            return
        for word, paths in (
            ("written", done.written),
            ("removed", done.removed),
            ("not written, as it is not what was copied", done.left),
        ):
            if paths:
                shown = [os.fsdecode(each) for each in paths[:_SHOWN]]
                more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
                self.written.append(f"{word}: {', '.join(shown)}{more}")

    def digests(self, stage: StageSpec) -> Path | None:
        """Where digests of its files can be kept for the next run: beside the copy that stays."""
        return self._copied.path.with_name("digests") if stage.number == self._last else None

    def path(self, stage: StageSpec) -> Path:
        """Where a Stage builds that has begun."""
        return self._paths[stage.number]
