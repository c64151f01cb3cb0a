"""Making and entering namespaces: unshare, setns, and `clone`, the engine's fork.

Called by the runtime (container init, exec), by `idmap` and by the network part. `clone` is clone3(2) without
CLONE_VM, so the child is a copy of the process as after fork(2), but born into its namespaces and its cgroup, and
known by a pidfd from the start. Source: clone(2), namespaces(7), user_namespaces(7).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import os
from enum import IntFlag
from signal import SIGCHLD
from typing import TYPE_CHECKING, TypeVar

from sandbox.kernel.syscalls import NR, syscall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import ClassVar

T = TypeVar("T")


class Flags(IntFlag):
    """The kinds of namespaces, as CLONE_NEW…"""

    NEWTIME = 0x0000_0080
    NEWNS = 0x0002_0000
    NEWCGROUP = 0x0200_0000
    NEWUTS = 0x0400_0000
    NEWIPC = 0x0800_0000
    NEWUSER = 0x1000_0000
    NEWPID = 0x2000_0000
    NEWNET = 0x4000_0000


_NS_GET_USERNS = 0xB701  # linux/nsfs.h
_CLONE_PIDFD = 0x0000_1000
_CLONE_PARENT = 0x0000_8000
_CLONE_INTO_CGROUP = 0x2_0000_0000


class _CloneArguments(ctypes.Structure):
    """`struct clone_args` of linux/sched.h, all of its 88 bytes."""

    _fields_: ClassVar = [
        (name, ctypes.c_uint64)
        for name in (
            "flags",
            "pidfd",
            "child_tid",
            "parent_tid",
            "exit_signal",
            "stack",
            "stack_size",
            "tls",
            "set_tid",
            "set_tid_size",
            "cgroup",
        )
    ]


# PyDLL keeps the interpreter's lock during the call; with CDLL the child would come back without a thread that holds
# it.
_python = ctypes.PyDLL(None, use_errno=True)
_before_fork = _python.PyOS_BeforeFork
_after_fork_parent = _python.PyOS_AfterFork_Parent
_after_fork_child = _python.PyOS_AfterFork_Child
_before_fork.restype = _after_fork_parent.restype = _after_fork_child.restype = None
_fork_syscall = _python.syscall
_fork_syscall.restype = ctypes.c_long

_library = ctypes.CDLL(None)  # gives the interpreter's lock away during a call, to the thread that is waited for
_ThreadEntry = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def unshare(flags: int) -> None:
    """Move this process into new namespaces; NEWPID is for its children. NEWUSER needs a single thread (else
    EINVAL).
    """
    syscall("unshare", flags)


def setns(fd: int, flags: int = 0) -> None:
    """Enter the namespace behind `fd` (of /proc/PID/ns/…); `flags` names the kind it must have, 0 any."""
    syscall("setns", fd, flags, path=f"fd {fd}")


def owns_network() -> bool:
    """Whether this thread's network namespace belongs to its user namespace, whose root may then change it."""
    network = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        owner = fcntl.ioctl(network, _NS_GET_USERNS)
    except PermissionError:  # it belongs to one further out
        return False
    finally:
        os.close(network)
    try:
        return os.path.samestat(os.fstat(owner), os.stat("/proc/thread-self/ns/user"))
    finally:
        os.close(owner)


@contextlib.contextmanager
def entered(fd: int, flag: int) -> Iterator[None]:
    """Work in the namespace behind `fd` for a while; this thread alone. With Flags.NEWNET /proc/sys/net is that one's,
    too.
    """
    name = {Flags.NEWNET: "net", Flags.NEWIPC: "ipc", Flags.NEWUTS: "uts"}[Flags(flag)]
    before = os.open(f"/proc/thread-self/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(fd, flag)
        try:
            yield
        finally:
            setns(before, flag)
    finally:
        os.close(before)


def in_network(fd: int, function: Callable[[], T]) -> T:
    """What `function` gives, or raises, in the network namespace behind `fd`; this process stays where it is.

    Who has no right to the present one, as an ordinary user in the host's, could not come back to it. So he sends a
    thread there, which ends with the function; when this returns, nothing of it runs any more, and the process may fork
    as before. It is the thread of a C library, since Python's own are not waited for to their very end.
    """
    if owns_network():
        with entered(fd, Flags.NEWNET):
            return function()
    results: list[T] = []
    errors: list[BaseException] = []

    def run(_: object) -> None:
        try:
            setns(fd, Flags.NEWNET)
            results.append(function())
        except BaseException as error:
            errors.append(error)

    entry, thread = _ThreadEntry(run), ctypes.c_ulong()
    code = _library.pthread_create(ctypes.byref(thread), None, entry, None)
    if code:
        raise OSError(code, f"pthread_create: {os.strerror(code)}")
    _library.pthread_join(thread, None)
    if errors:
        raise errors[0]
    return results[0]


def clone(
    flags: int = 0, *, cgroup: int | None = None, parent: bool = False, exit_signal: int = SIGCHLD
) -> tuple[int, int]:
    """Fork into new namespaces: `(pid, pidfd)` in the parent, `(0, -1)` in the child.

    `cgroup` is a descriptor of a cgroup v2 directory into which the child is born. `parent=True` makes a sibling: the
    caller's parent is the one that waits for it. `exit_signal` is what the parent is sent at the end; a child with 0
    is seen only by a wait with __WALL, so no wait of other code takes it. The pidfd is close-on-exec.

    The caller must be single-threaded: other threads do not exist in the child, and whatever lock of libc they held
    stays held. In the child Python's own fork hooks have run (interpreter lock, signals, seeds of `random`), and
    `gc.freeze` has put the parent's objects out of the collector's sight: walking them would copy every page that
    both still share, and nothing of the parent's is finalised twice. Garbage of the child's own is still collected,
    for one that lives long. libc's cached thread id is stale, which matters to robust and priority-inheriting mutexes
    only. The child must end by exec or `os._exit`.
    """
    pidfd = ctypes.c_int(-1)
    bits = flags | _CLONE_PIDFD
    if cgroup is not None:
        bits |= _CLONE_INTO_CGROUP
    if parent:
        bits |= _CLONE_PARENT
        exit_signal = 0  # demanded by clone3; the sibling takes the caller's own exit signal
    arguments = _CloneArguments(
        flags=bits, pidfd=ctypes.addressof(pidfd), exit_signal=exit_signal, cgroup=0 if cgroup is None else cgroup
    )
    number, size, pointer = (
        ctypes.c_long(NR["clone3"]),
        ctypes.c_long(ctypes.sizeof(arguments)),
        ctypes.byref(arguments),
    )
    _before_fork()
    pid: int = _fork_syscall(number, pointer, size)
    if pid == 0:
        _after_fork_child()
        gc.freeze()
        return 0, -1
    code = ctypes.get_errno()
    _after_fork_parent()
    if pid == -1:
        raise OSError(code, f"clone3 with {Flags(flags)!r}: {os.strerror(code)}")
    return pid, pidfd.value
