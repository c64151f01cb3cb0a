"""User and group ids of a process, as far as the standard library does not reach.

`os.setresuid` and its kin suffice to become somebody. What is here is the file system's view: the id that created
files get and that permission checks on files use, apart from the process's own (setfsuid(2), credentials(7)).
"""

from __future__ import annotations

import contextlib
import ctypes
from typing import TYPE_CHECKING

from sandbox.kernel import syscalls

if TYPE_CHECKING:
    from collections.abc import Iterator

_CAPABILITY_VERSION_3 = 0x20080522


@contextlib.contextmanager
def file_system_ids(uid: int, gid: int) -> Iterator[None]:
    """Touch files as `uid` and `gid` while keeping every capability.

    setfsuid(2) from 0 to another id takes the file capabilities from the effective set; they are still permitted, so
    they are raised again. Overlayfs keeps these credentials for its own work in the upper directory: on an id-mapped
    upper layer it must work as an id that the mapping knows, or the mount silently becomes read-only.
    """
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    before = (ctypes.c_uint32 * 6)()
    syscalls.syscall("capget", ctypes.byref(header), ctypes.byref(before))
    raised = (ctypes.c_uint32 * 6)(*before)
    raised[0], raised[3] = before[1], before[4]  # effective = permitted, low and high word
    old_gid = syscalls.syscall("setfsgid", gid)
    old_uid = syscalls.syscall("setfsuid", uid)
    try:
        syscalls.syscall("capset", ctypes.byref(header), ctypes.byref(raised))
        yield
    finally:
        syscalls.syscall("setfsuid", old_uid)
        syscalls.syscall("setfsgid", old_gid)
        syscalls.syscall("capset", ctypes.byref(header), ctypes.byref(before))
