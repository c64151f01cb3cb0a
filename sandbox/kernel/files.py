"""Small files read and written whole, in as few system calls as that takes.

For the kernel's own files (control groups, id maps, sysctls) and for the engine's records: Python's file objects make
four calls more for each. Called by everything on the way of a container's start and end.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.kernel.syscalls import StrPath

_CHUNK = 1 << 16


def read(path: StrPath) -> bytes:
    """All bytes of a file. Raises `OSError` with the path."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.read(descriptor, _CHUNK)
        while data and (more := os.read(descriptor, _CHUNK)):
            data += more
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(descriptor)
    return data


def write(path: StrPath, data: str | bytes) -> None:
    """Write to a file that is there, a kernel's, in one call. Raises `OSError` with the path."""
    _write(path, os.O_WRONLY, 0, data)


def create(path: StrPath, data: str | bytes, mode: int = 0o644, *, new: bool = False) -> None:
    """Write a file of one's own, which is made where it is missing; one that is to be `new` must be
    (`FileExistsError`).
    """
    _write(path, os.O_WRONLY | os.O_CREAT | (os.O_EXCL if new else os.O_TRUNC), mode, data)


def replace(path: str, data: str | bytes) -> None:
    """Write a file that appears whole: whoever reads it meanwhile has the former one. One writer at a time."""
    part = f"{path}.part"
    create(part, data)
    os.rename(part, path)


def _write(path: StrPath, flags: int, mode: int, data: str | bytes) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC, mode)
    try:
        rest = data.encode() if isinstance(data, str) else data
        while (written := os.write(descriptor, rest)) < len(rest):  # a signal, or a disk that fills up
            rest = rest[written:]
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(descriptor)
