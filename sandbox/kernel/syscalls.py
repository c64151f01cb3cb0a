"""The one door to the kernel: `syscall(name, ...)` by way of libc's `syscall(2)`.

Every other module of `sandbox/kernel` that needs a call which Python's `os` lacks comes through here, so that errors
have one shape (`OSError` with errno, text and path) and arguments one conversion (each integer a full C long; ctypes
alone would pass 32 bits). The numbers are those of the kernel's `asm/unistd_64.h` (x86_64) and `asm-generic/unistd.h`
(aarch64).
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from ctypes import _CArgObject, _CData
    from typing import TypeAlias

    StrPath: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]
    Argument: TypeAlias = int | bytes | _CData | _CArgObject | None

# name: (x86_64, aarch64); from 424 on all architectures share their numbers
_NUMBERS = {
    "add_key": (248, 217),
    "bpf": (321, 280),
    "capget": (125, 90),
    "capset": (126, 91),
    "clone3": (435, 435),
    "close_range": (436, 436),
    "copy_file_range": (326, 285),
    "execveat": (322, 281),
    "faccessat2": (439, 439),
    "fchmodat2": (452, 452),
    "fchownat": (260, 54),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "fstatfs": (138, 44),
    "gettid": (186, 178),
    "ioctl": (16, 29),
    "keyctl": (250, 219),
    "linkat": (265, 37),
    "listmount": (458, 458),
    "memfd_create": (319, 279),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "openat2": (437, 437),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pivot_root": (155, 41),
    "prctl": (157, 167),
    "prlimit64": (302, 261),
    "renameat2": (316, 276),
    "request_key": (249, 218),
    "seccomp": (317, 277),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setfsgid": (123, 152),
    "setfsuid": (122, 151),
    "setns": (308, 268),
    "setresgid": (119, 149),
    "setresuid": (117, 147),
    "statfs": (137, 43),
    "statmount": (457, 457),
    "statx": (332, 291),
    "syncfs": (306, 267),
    "umount2": (166, 39),
    "unlinkat": (263, 35),
    "unshare": (272, 97),
    "utimensat": (280, 88),
    "waitid": (247, 95),
}
_COLUMNS = {"x86_64": 0, "aarch64": 1}


def numbers(machine: str) -> Mapping[str, int]:
    """The call numbers of `machine` (as `uname -m` says); empty for one that Hako does not know."""
    column = _COLUMNS.get(machine)
    return {} if column is None else {name: pair[column] for name, pair in _NUMBERS.items()}


NR: Mapping[str, int] = numbers(os.uname().machine)

_MOST_ARGUMENTS = 6


def _door(arguments: int) -> Callable[..., int]:
    """`syscall(2)` for so many arguments, converted by ctypes itself: c_void_p takes integers of all 64 bits, bytes,
    arrays, references and None, in a third of the time that a conversion in Python takes.
    """
    function = ctypes.CDLL(None, use_errno=True)["syscall"]
    function.restype = ctypes.c_long
    function.argtypes = (ctypes.c_long, *(ctypes.c_void_p,) * arguments)
    return function


_DOORS = tuple(map(_door, range(_MOST_ARGUMENTS + 1)))


def encode(path: StrPath) -> bytes:
    """`path` as the kernel takes it. A NUL inside is EINVAL: the kernel would silently stop reading there."""
    encoded = os.fsencode(path)
    if b"\0" in encoded:
        raise OSError(errno.EINVAL, "embedded null byte", path)
    return encoded


def syscall(name: str, *arguments: Argument, path: StrPath | int | None = None) -> int:
    """Call the kernel and give its result, 0 or more.

    Integers, bytes (NUL-terminated by Python), ctypes arrays and `byref(...)` are taken, `None` is a null pointer.
    `path` only names the object in the error. Interrupted calls are made again once Python's signal handlers have run
    (PEP 475). Raises `OSError`; ENOSYS also for a call that this machine's table lacks.
    """
    number = NR.get(name)
    if number is None:
        raise OSError(errno.ENOSYS, f"no system call {name!r} known on {os.uname().machine}")
    door = _DOORS[len(arguments)]
    while True:
        result = door(number, *arguments)
        if result != -1:
            return result
        code = ctypes.get_errno()
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code), path)
