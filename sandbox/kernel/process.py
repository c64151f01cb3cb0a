"""What a process sets on itself (prctl, close_range) and what tells one process from a later one with the same number.

Called by the runtime's init and supervisor between clone and exec, and by everything that records a pid in a file: a
pid alone is no identity, `(boot_id, pid, start_time)` is. Source: prctl(2), close_range(2), proc_pid_stat(5).
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
from typing import TYPE_CHECKING

from sandbox.kernel.syscalls import syscall

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.kernel.namespaces import Flags

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_KEEPCAPS = 8
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_CLOSE_RANGE_CLOEXEC = 4
_KEYCTL_JOIN_SESSION_KEYRING = 1
_NAME_SIZE = 15  # TASK_COMM_LEN less the closing NUL
_START_TIME_FIELD = 22  # counted from 1, proc_pid_stat(5)
_ARGUMENTS = (48, 49)  # where they begin and end
_FIELDS_BEFORE_STATE = 2  # pid and (comm)

_MASK_SIZE = 128  # sigset_t
_ALL_SIGNALS = b"\xff" * _MASK_SIZE
_sigprocmask = ctypes.PyDLL(None).sigprocmask

NO_SIGNALS = bytes(_MASK_SIZE)  # an empty mask for `set_signal_mask`
LAST_DESCRIPTOR = 0xFFFF_FFFF  # "to the end" for close_range


def prctl(option: int, argument: int | bytes = 0) -> int:
    """One prctl(2) with the unused arguments zero, as newer options demand."""
    return syscall("prctl", option, argument, 0, 0, 0)


def set_no_new_privs() -> None:
    """No later exec gains privileges by set-user-id bits or file capabilities. Cannot be undone."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def set_dumpable(dumpable: bool) -> None:
    """Whether others of the same user may look into this process (/proc/PID/exe, mem, fd; ptrace). Exec sets it
    again.
    """
    prctl(_PR_SET_DUMPABLE, int(dumpable))


def leave_session_keyring() -> None:
    """Have a session keyring of one's own, an empty one, in place of the one that was inherited with its keys.

    No namespace is in the way of those (keyrings(7)). Where the kernel has no keys, or who started us may not ask for
    any, neither can what runs from here on. Raises OSError (EDQUOT where the user has too many).
    """
    try:
        syscall("keyctl", _KEYCTL_JOIN_SESSION_KEYRING, None)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise


def set_parent_death_signal(number: int) -> None:
    """Get signal `number` when the *thread* that made this process ends; 0 clears it.

    The parent may be gone already: compare `os.getppid()` with the expected pid after the call. Exec of a set-user-id
    program and changes of the user clear it.
    """
    prctl(_PR_SET_PDEATHSIG, number)


def set_keep_capabilities(keep: bool) -> None:
    """Keep the permitted capabilities over a change from root to another user; exec clears the flag."""
    prctl(_PR_SET_KEEPCAPS, int(keep))


def set_name(name: str) -> None:
    """The name in `ps` and /proc/PID/comm; cut to 15 bytes."""
    prctl(_PR_SET_NAME, os.fsencode(name)[:_NAME_SIZE])


def set_title(text: str) -> None:
    """What stands in for this process's arguments in `ps` and /proc/PID/cmdline, cut to their length.

    That file can be read by everybody who sees the process, so the words of the command that a process was forked from
    must not stay there when it enters a container. The arguments are overwritten where the kernel put them (fields 48
    and 49 of proc_pid_stat(5)).
    """
    descriptor = os.open("/proc/self/stat", os.O_RDONLY | os.O_CLOEXEC)
    try:
        stat = os.read(descriptor, 4096)
    finally:
        os.close(descriptor)
    fields = stat[stat.rindex(b")") + 1 :].split()
    start, end = (int(fields[number - _FIELDS_BEFORE_STATE - 1]) for number in _ARGUMENTS)
    if 0 < start < end:
        ctypes.memmove(start, os.fsencode(text)[: end - start - 1].ljust(end - start, b"\0"), end - start)


def set_child_subreaper(subreaper: bool) -> None:
    """Orphaned descendants become children of this process, not of init."""
    prctl(_PR_SET_CHILD_SUBREAPER, int(subreaper))


def block_signals() -> bytes:
    """Have all signals wait that can; the mask as it was, for `set_signal_mask`.

    `signal.pthread_sigmask` makes an object of each of 64 signals each time, which costs more than all the rest.
    """
    before = ctypes.create_string_buffer(_MASK_SIZE)
    _sigprocmask(signal.SIG_BLOCK, _ALL_SIGNALS, before)
    return before.raw


def set_signal_mask(mask: bytes) -> None:
    """Block those and no others, for the calling thread."""
    _sigprocmask(signal.SIG_SETMASK, mask, None)


def close_range(first: int, last: int = LAST_DESCRIPTOR, *, cloexec: bool = False) -> None:
    """Close the descriptors `first`…`last`, both included; with `cloexec` only mark them to be closed by exec."""
    syscall("close_range", first, last, _CLOSE_RANGE_CLOEXEC if cloexec else 0)


def close_all_but(keep: Iterable[int]) -> None:
    """Close every descriptor that is not in `keep`."""
    first = 0
    for descriptor in sorted(set(keep)):
        if descriptor > first:
            close_range(first, descriptor - 1)
        first = descriptor + 1
    close_range(first)


def pidfd_setns(pidfd: int, flags: Flags) -> None:
    """Enter several namespaces of the process behind `pidfd` in one step, all or none.

    NEWPID takes effect for children only. With NEWUSER the caller must be single-threaded.
    """
    syscall("setns", pidfd, flags, path=f"pidfd {pidfd}")


def start_time(pid: int) -> int:
    """When `pid` started, in clock ticks since boot. Raises `ProcessLookupError` or `FileNotFoundError` when there
    is no such process.
    """
    return int(_fields(pid)[_START_TIME_FIELD - _FIELDS_BEFORE_STATE - 1])


def has_ended(pid: int) -> bool:
    """Whether `pid` is no process, or one that has only still to be waited for."""
    try:
        return _fields(pid)[0] in (b"Z", b"X")
    except (ProcessLookupError, FileNotFoundError):
        return True


def _fields(pid: int) -> list[bytes]:
    """Those of /proc/PID/stat from the state on."""
    descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(descriptor, 4096)
    finally:
        os.close(descriptor)
    # the command's name stands in parentheses and may hold spaces and parentheses itself: count from the last one
    return text[text.rindex(b")") + 1 :].split()


def boot_id() -> str:
    """The random identity of this boot, a UUID; start times and pids mean nothing across two of them."""
    descriptor = os.open("/proc/sys/kernel/random/boot_id", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 64).decode("ascii").strip()
    finally:
        os.close(descriptor)
