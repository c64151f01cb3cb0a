"""What is in a workspace, and what steps have changed in it.

An inventory is taken of the fresh workspace and again when the steps are over. A file's content cannot change without
its change time (inode(7), ctime), which no program can set, so that nothing is missed and no file is read.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

REPOSITORY = b".git"  # never part of an inventory, in whatever folder, also on file systems that ignore case


class Stamp(NamedTuple):
    """What a file is known by; times in nanoseconds."""

    mode: int
    size: int
    modified: int
    changed: int
    inode: int


class Changes(NamedTuple):
    """Paths that are new or different, and paths that are gone, each in order."""

    changed: tuple[bytes, ...]
    removed: tuple[bytes, ...]


def inventory(folder: Path) -> dict[bytes, Stamp]:
    """The regular files and symbolic links below a folder, by their relative paths, repositories left out.

    Nothing is followed. Raises OSError.
    """
    return dict(_walk(os.fsencode(folder)))


def changes(before: Mapping[bytes, Stamp], after: Mapping[bytes, Stamp]) -> Changes:
    """The difference of two inventories."""
    return Changes(
        changed=tuple(sorted(path for path, stamp in after.items() if before.get(path) != stamp)),
        removed=tuple(sorted(path for path in before if path not in after)),
    )


def _walk(root: bytes) -> Iterator[tuple[bytes, Stamp]]:
    waiting = [b""]
    while waiting:
        below = waiting.pop()
        with os.scandir(root + b"/" + below) as entries:
            for entry in entries:
                if entry.name.lower() == REPOSITORY:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(below + entry.name + b"/")
                    continue
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
                    yield (
                        below + entry.name,
                        Stamp(status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino),
                    )
