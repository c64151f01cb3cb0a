"""Opening below a descriptor: openat2(2), and an object that is held already anew.

Called by `paths`, `removal` and `pty`; others resolve paths with `paths.Root`. Source: openat2(2), proc_pid_fd(5).
"""

from __future__ import annotations

import errno
import os
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sandbox.kernel.mounts import PROC_SUPER_MAGIC, filesystem_type
from sandbox.kernel.syscalls import encode, syscall

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.kernel.syscalls import StrPath

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
RETRIES = 1024  # EAGAIN: a rename anywhere on the system while ".." was resolved


_HOW = struct.Struct("=QQQ")  # `struct open_how` of linux/openat2.h: flags, mode, resolve


def openat2(dirfd: int, path: StrPath, flags: int, mode: int = 0, *, resolve: int) -> int:
    """openat2(2), close-on-exec, made again on EAGAIN (a bounded number of times). Raises `OSError` at path."""
    how, name = _HOW.pack(flags | os.O_CLOEXEC, mode, resolve), encode(path)
    for _ in range(RETRIES):
        try:
            return syscall("openat2", dirfd, name, how, _HOW.size, path=path)
        except BlockingIOError:
            continue
    raise OSError(errno.EAGAIN, "the tree keeps changing", path)


def reopen(fd: int, flags: int) -> int:
    """The object behind `fd` (also one of O_PATH) opened anew with `flags`, by way of /proc/self/fd, close-on-exec.

    Raises `OSError` (EXDEV) when /proc is not a procfs: a container could have put anything there (CVE-2025-52881).
    """
    with own_descriptors() as directory:
        return os.open(str(fd), flags | os.O_CLOEXEC, dir_fd=directory)


@contextmanager
def own_descriptors() -> Iterator[int]:
    """/proc/self/fd, whose links lead to the descriptors' objects themselves."""
    directory = os.open("/proc/self/fd", DIRECTORY)
    try:
        if filesystem_type(directory) != PROC_SUPER_MAGIC:
            raise OSError(errno.EXDEV, "not a proc file system", "/proc/self/fd")
        yield directory
    finally:
        os.close(directory)
