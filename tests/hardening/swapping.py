"""Somebody who makes two names change places without end."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

from sandbox.kernel.syscalls import syscall

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_EXCHANGE = 2  # RENAME_EXCHANGE
_AT_FDCWD = -100


@contextlib.contextmanager
def swapping(first: Path, second: Path) -> Iterator[None]:
    """In another process, as fast as it goes."""
    pid = os.fork()
    if pid == 0:
        try:
            one, two = os.fsencode(first), os.fsencode(second)
            while True:
                syscall("renameat2", _AT_FDCWD, one, _AT_FDCWD, two, _EXCHANGE)
        finally:
            os._exit(1)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
