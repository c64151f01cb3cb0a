"""The folders that Stages build in one after the other: as many as run at once, however many cells a matrix has.

Copying a project is dear where files cannot share their blocks: making and removing inodes is what takes the time. So a
folder is not removed when its Stage is over, but brought back to what the pristine copy is before the next one has it
(`runners.freshness`): what steps changed is copied anew, and nothing else. In the project's slot the folders are there
for the next run, too. Used by `ci.cli.workspaces`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runners import workspace

if TYPE_CHECKING:
    from pathlib import Path

_TREE, _MANIFEST = "tree", "manifest"


class TreePool:
    """In `folder`, which is this process's alone; each is a numbered folder of it, with its manifest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._free: list[Path] = []
        self._count = 0
        if folder.is_dir():
            self._free = sorted((path for path in folder.iterdir() if path.name.isdigit()), reverse=True)
            self._count = 1 + max((int(path.name) for path in self._free), default=-1)

    def take(self, pristine: Path) -> Path:
        """A folder with all that is in `pristine`, and nothing else, until it is given back. Raises OSError."""
        if not self._free:
            path = self._folder / str(self._count)
            path.mkdir(mode=0o700, parents=True)
            self._count += 1
            self._free.append(path)
        path = self._free.pop()
        workspace.copy(pristine, path / _TREE, manifest=path / _MANIFEST)
        return path / _TREE

    def give(self, tree: Path) -> None:
        """Nobody builds in it any more. It may be gone, or anything be in it."""
        self._free.append(tree.parent)
