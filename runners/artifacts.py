"""What steps keep for later Stages and for people: files of the workspace, by patterns.

A run has one folder of artifacts for each Stage. They are copied when the step is over, by descriptors and without
following a link (`writeback`), as the workspace is whatever the step has made of it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ci.pipeline.glob import Glob
from runners.inventory import inventory
from runners.writeback import Written, place

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


def chosen(patterns: Sequence[str], paths: Iterable[bytes]) -> tuple[bytes, ...]:
    """The paths that a pattern fits, or that are below a folder that one fits."""
    globs = [Glob(pattern) for pattern in patterns]
    return tuple(path for path in paths if any(_fits(glob, os.fsdecode(path)) for glob in globs))


def collect(patterns: Sequence[str], workspace: Path, folder: Path) -> Written:
    """Copy the files that the patterns choose from a workspace to a folder, which is made. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    return place(workspace, folder, chosen(patterns, inventory(workspace)))


def deliver(folder: Path, target: Path) -> Written:
    """Copy all of a folder of artifacts to another folder, over what is there. Raises OSError."""
    return place(folder, target, inventory(folder)) if folder.is_dir() else Written()


def _fits(glob: Glob, path: str) -> bool:
    parts = path.split("/")
    return any(glob.matches("/".join(parts[:count])) for count in range(1, len(parts) + 1))
