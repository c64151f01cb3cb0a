"""Capabilities: which there are, Docker's default set, and limiting a process to a set before it executes a
container's command.

Called by the runtime's plan (names from `--cap-add` and `--cap-drop`) and by its init. Source: capabilities(7),
capset(2), Docker's "Runtime privilege and Linux capabilities".
"""

from __future__ import annotations

import ctypes
import errno
import os
from enum import IntEnum
from typing import TYPE_CHECKING

from sandbox.errors import InvalidError
from sandbox.kernel.process import prctl
from sandbox.kernel.syscalls import syscall

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import ClassVar


class Capability(IntEnum):
    """The numbers of linux/capability.h, named without the CAP_."""

    CHOWN = 0
    DAC_OVERRIDE = 1
    DAC_READ_SEARCH = 2
    FOWNER = 3
    FSETID = 4
    KILL = 5
    SETGID = 6
    SETUID = 7
    SETPCAP = 8
    LINUX_IMMUTABLE = 9
    NET_BIND_SERVICE = 10
    NET_BROADCAST = 11
    NET_ADMIN = 12
    NET_RAW = 13
    IPC_LOCK = 14
    IPC_OWNER = 15
    SYS_MODULE = 16
    SYS_RAWIO = 17
    SYS_CHROOT = 18
    SYS_PTRACE = 19
    SYS_PACCT = 20
    SYS_ADMIN = 21
    SYS_BOOT = 22
    SYS_NICE = 23
    SYS_RESOURCE = 24
    SYS_TIME = 25
    SYS_TTY_CONFIG = 26
    MKNOD = 27
    LEASE = 28
    AUDIT_WRITE = 29
    AUDIT_CONTROL = 30
    SETFCAP = 31
    MAC_OVERRIDE = 32
    MAC_ADMIN = 33
    SYSLOG = 34
    WAKE_ALARM = 35
    BLOCK_SUSPEND = 36
    AUDIT_READ = 37
    PERFMON = 38
    BPF = 39
    CHECKPOINT_RESTORE = 40


ALL = frozenset(Capability)
DEFAULT = frozenset(
    {
        Capability.AUDIT_WRITE,
        Capability.CHOWN,
        Capability.DAC_OVERRIDE,
        Capability.FOWNER,
        Capability.FSETID,
        Capability.KILL,
        Capability.MKNOD,
        Capability.NET_BIND_SERVICE,
        Capability.NET_RAW,
        Capability.SETFCAP,
        Capability.SETGID,
        Capability.SETPCAP,
        Capability.SETUID,
        Capability.SYS_CHROOT,
    }
)

_VERSION_3 = 0x2008_0522
_WORD = 32
_MOST = 64  # as many as two words of a capability set can name
_PR_CAPBSET_READ, _PR_CAPBSET_DROP = 23, 24
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4


class _Header(ctypes.Structure):
    _fields_: ClassVar = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Data(ctypes.Structure):
    _fields_: ClassVar = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]


def parse(name: str) -> Capability:
    """`NET_ADMIN`, `cap_net_admin` and the like. Raises `InvalidError` for what is none (also for `ALL`, see
    `select`).
    """
    try:
        return Capability[name.strip().upper().removeprefix("CAP_")]
    except KeyError:
        raise InvalidError(
            f"unknown capability {name!r}", hint="see capabilities(7)", reference="unknown-capability"
        ) from None


def select(add: Iterable[str], drop: Iterable[str], *, base: frozenset[Capability] = DEFAULT) -> frozenset[Capability]:
    """`base` with `--cap-add` and `--cap-drop` as Docker reads them.

    With ALL added, everything but what is dropped; with ALL dropped, only what is added by name; else `base` less the
    dropped, plus the added.
    """
    added, all_added = _names(add)
    dropped, all_dropped = _names(drop)
    if all_added:
        return ALL - dropped
    if all_dropped:
        return added
    return (base - dropped) | added


def _names(names: Iterable[str]) -> tuple[frozenset[Capability], bool]:
    """The capabilities named one by one, and whether ALL was among the names."""
    listed = list(names)
    single = [name for name in listed if name.strip().upper() not in ("ALL", "CAP_ALL")]
    return frozenset(parse(name) for name in single), len(single) < len(listed)


def apply(keep: frozenset[Capability]) -> None:
    """Limit this process, which stays root: bounding set, permitted and effective to `keep`, inheritable and ambient
    to nothing.

    What the process does not have it does not get either, and no error is made of it. Needs SETPCAP until it returns.
    A program executed by root then holds exactly the bounding set. An inheritable set that is not empty was
    CVE-2022-24769.
    """
    _limit_bounding(keep)
    _clear_ambient()
    _, permitted = _get()
    mask = _mask(keep) & permitted
    _set(effective=mask, permitted=mask)


def apply_for_user(keep: frozenset[Capability], uid: int, *, gid: int | None = None) -> None:
    """Limit this process and become `uid` in all three places; its groups are set before.

    The order: (1) the bounding set is cut to `keep` while SETPCAP is there, so that set-user-id programs regain no
    more than that; (2) ambient and inheritable are emptied, which the change of user alone would not do; (3)
    setresgid, setresuid: as no user is 0 any more the kernel empties permitted and effective. Keep-capabilities
    (prctl) must be off, as it is unless somebody turned it on. This is what Docker leaves a non-root user with:
    nothing but the bounding set. For uid 0 it is `apply`.
    """
    if uid == 0:
        apply(keep)
        return
    _limit_bounding(keep)
    _clear_ambient()
    effective, permitted = _get()
    _set(effective=effective, permitted=permitted)
    if gid is not None:
        os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if _get() != (0, 0):
        raise OSError(errno.EPERM, f"capabilities survived the change to user {uid}")


def bounding() -> int:
    """The bounding set as a mask, bit n for capability n."""
    mask = 0
    for number in range(_MOST):
        try:
            mask |= prctl(_PR_CAPBSET_READ, number) << number
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            break  # past the kernel's last one
    return mask


def _limit_bounding(keep: frozenset[Capability]) -> None:
    """Drop all others, those too that this kernel has and we have no name for.

    The kernel tells by EINVAL where its capabilities end, and not /proc/sys/kernel/cap_last_cap: init does this inside
    the container, where /proc is not ours.
    """
    for number in range(_MOST):
        if number in keep:
            continue
        try:
            prctl(_PR_CAPBSET_DROP, number)
        except OSError as error:
            if error.errno != errno.EINVAL or number == 0:
                raise
            break


def _clear_ambient() -> None:
    """Empty the ambient set."""
    prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)


def _mask(capabilities: Iterable[Capability]) -> int:
    mask = 0
    for capability in capabilities:
        mask |= 1 << capability
    return mask


def _get() -> tuple[int, int]:
    """This thread's effective and permitted sets as masks."""
    header, data = _Header(_VERSION_3, 0), (_Data * 2)()
    syscall("capget", ctypes.byref(header), data)
    effective = data[0].effective | data[1].effective << _WORD
    permitted = data[0].permitted | data[1].permitted << _WORD
    return effective, permitted


def _set(*, effective: int, permitted: int) -> None:
    """Set this thread's sets, the inheritable one to nothing."""
    header, data = _Header(_VERSION_3, 0), (_Data * 2)()
    for index, word in enumerate(data):
        word.effective = effective >> _WORD * index & 0xFFFF_FFFF
        word.permitted = permitted >> _WORD * index & 0xFFFF_FFFF
    syscall("capset", ctypes.byref(header), data)
