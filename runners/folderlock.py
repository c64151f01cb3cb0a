"""A folder that belongs to a process for as long as that lives: by its lock (flock), which the kernel drops with it.

Called by `runfolder` and `slot`. A folder may be removed by whoever holds its lock; so one that is locked may be gone
by then, and another in its place.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def lock(path: Path, *, wait: bool = False) -> int:
    """The descriptor that holds the lock until it is closed; -1 where it is another's, or the folder is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1
    with suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), path.lstat()):
            return descriptor
    os.close(descriptor)
    return -1
