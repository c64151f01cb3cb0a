"""Files are written to the disk behind everybody's back, and the note that says they may not be is taken back then.

The kernel writes them in its own time: a power loss before that leaves whole names with empty files. syncfs(2) writes
all of a file system and takes seconds, so a process of its own does it. Called by `image.settling` and by the
runners' caches.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.kernel.syscalls import StrPath

_SHELL = "/bin/sh"
_DIRECTORY = 3  # its descriptor in the process: it stays the same one under whatever name
_SCRIPT = f'(cd /proc/self/fd/{_DIRECTORY} && sync -f . && rm -f -- "$@") </dev/null >/dev/null 2>&1 &'


def write_behind(directory: StrPath, notes: Iterable[str]) -> None:
    """Write the file system of a directory to the disk, and remove its files `notes` then; nobody waits for it.

    In a host without `sync` they stay. Raises OSError where the directory is not there.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        shell = os.posix_spawn(
            _SHELL,
            ["sh", "-c", _SCRIPT, "sh", *notes],
            {"PATH": "/usr/bin:/bin"},
            file_actions=[(os.POSIX_SPAWN_DUP2, descriptor, _DIRECTORY)],
            setsid=True,
        )
        os.waitpid(shell, 0)
    finally:
        os.close(descriptor)
