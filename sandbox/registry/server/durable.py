"""Files that are on the disk when they have their name: what a push was acknowledged for survives the loss of power.

A file's content is synchronised before it is renamed into place, its directory afterwards, and a new directory's parent
as well: ext4 and xfs promise nothing of a name otherwise.
"""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING

from sandbox.image import scratch

if TYPE_CHECKING:
    from pathlib import Path


def synchronise(directory: Path) -> None:
    """Have the names in a directory written."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_directory(path: Path) -> None:
    """Make a directory (mode 0700) and those above it, each one's name written; fine if it is there."""
    try:
        path.mkdir(mode=0o700)
    except FileNotFoundError:
        make_directory(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
    except FileExistsError:
        return
    synchronise(path.parent)


def write(root: Path, destination: Path, data: bytes) -> None:
    """Put a small file in place, whole or not at all, replacing what is there; half-made it lies in `root/tmp`."""
    make_directory(destination.parent)
    scratch.write(root, destination, data)
    synchronise(destination.parent)


def link(source: Path, target: Path) -> None:
    """Give a file, whose content is written, a further name; fine if there is one already."""
    make_directory(target.parent)
    try:
        target.hardlink_to(source)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno != errno.EMLINK:  # ext4 counts to 65,000
            raise
        _copy(source, target)
    synchronise(target.parent)


def _copy(source: Path, target: Path) -> None:
    partial = target.with_name(f"{scratch.PREFIX}{os.urandom(8).hex()}")
    try:
        shutil.copyfile(source, partial)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)
