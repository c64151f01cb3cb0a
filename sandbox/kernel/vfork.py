"""Children that work in this process's own memory while it stands still, as after vfork(2).

Called by the runtime for a container's first process. A forked Python costs some 4 ms, nearly all of it for copies of
pages that reference counts are written to; a child that shares the memory costs 0.1 ms. The kernel suspends the caller
until the child executes a program or ends, so one of the two runs at any time and the interpreter stays whole. The
child has its own descriptor table, working directory, credentials, namespaces and system-call filter, and runs on a
stack of its own; all objects are the caller's.

So a function run there may change nothing that the caller would miss: no closing of the caller's sockets and files, no
signal handlers, no threads. It must come to its end. The program is then executed from C, when no frame of Python is
left on the stack: the caller would else come back into an interpreter that believes to be deeper than it is. That
happens where somebody kills the child on its way; the caller then ends at once, as if it had been killed as well.

The caller must have a single thread. Sources: vfork(2), clone(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import itertools
import mmap
import operator
import os
import signal
from typing import TYPE_CHECKING

from sandbox.kernel import process
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_CLONE_VM = 0x0000_0100
_CLONE_VFORK = 0x0000_4000
_CLONE_PARENT = 0x0000_8000
_CLONE_PARENT_SETTID = 0x0010_0000
_STACK_SIZE = 1 << 20
_SLEEPER_STACK_SIZE = 8 * mmap.PAGESIZE
_LONGEST_SLEEP = 3  # seconds: more than a sleeper is ever wanted for
_MAP_FAILED = ctypes.c_void_p(-1).value
_GUARD_SIZE = mmap.PAGESIZE
_WALL = 0x4000_0000  # __WALL: also children whose end sends no signal
_KILLED = 128 + signal.SIGKILL

# PyDLL keeps the interpreter's lock, and raises here what the child raised: the two have one thread state.
_python = ctypes.PyDLL(None, use_errno=True)
_clone = _python.clone
_mmap = _python.mmap
_mmap.restype = ctypes.c_void_p
_mprotect = _python.mprotect
_munmap = _python.munmap
_exhaust = ctypes.cast(_python.PySequence_List, ctypes.c_void_p)  # runs an iterator to its end
_sleep = ctypes.cast(_python.sleep, ctypes.c_void_p)


class Command(NamedTuple):
    """What a child becomes: execve(2)'s arguments."""

    path: str
    argv: list[str]
    environment: dict[str, str]


class ExecuteError(Exception):
    """`execve` failed; `error` says how."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


def call(function: Callable[[], object]) -> None:
    """Run `function` in a child and wait for the child's end. Raises what it raised."""
    pid = ctypes.c_int(0)
    try:
        _start(function, (), signal.SIGCHLD, pid)
    finally:
        _reap(pid)


def spawn(function: Callable[[], Command], *, within: Callable[[], object] | None = None) -> int:
    """Run `function` in a child that then becomes the command it gives; the pid, once the command runs.

    `within` is run before, in a process between the two that ends when the child is on its way: what that joins or
    unshares (a process namespace, say) is where the child is born, and we are the child's parent all the same.

    Raises what either function raised, and ExecuteError where the command could not be executed.
    """
    commands: list[Command] = []
    pid = ctypes.c_int(0)
    # A list's iterator gives what is appended while it is on its way.
    execution = itertools.starmap(os.execve, commands)

    def prepare() -> None:
        commands.append(function())

    def between() -> None:
        within()  # type: ignore[misc]
        _start(prepare, execution, _CLONE_PARENT, pid)

    try:
        if within is None:
            _start(prepare, execution, signal.SIGCHLD, pid)
        else:
            call(between)
    except BaseException as error:
        _reap(pid)
        if commands and isinstance(error, OSError):
            raise ExecuteError(error) from error
        raise
    return pid.value


@contextlib.contextmanager
def sleeper(flags: int, *, seconds: int = _LONGEST_SLEEP) -> Iterator[int]:
    """The pid of a child in new namespaces (`flags` as of clone(2)) that sleeps until the block ends.

    In C, beside the running interpreter; should the caller be killed, it ends after `seconds`.
    """
    pid = ctypes.c_int(0)
    with _stack(_SLEEPER_STACK_SIZE) as top:
        _clone_checked(_sleep, top, _CLONE_VM | flags, ctypes.c_void_p(seconds), pid)
        try:
            yield pid.value
        finally:
            os.kill(pid.value, signal.SIGKILL)
            _reap(pid)


def close_elsewhere(descriptors: Iterable[int]) -> int:
    """Close descriptors without waiting for what their last user has to wait for: that is a child, whose pidfd this is.

    The child is to be waited for. Unmounting an overlay, say, synchronises a disk.
    """
    pid = ctypes.c_int(0)
    with _stack(_SLEEPER_STACK_SIZE) as top:
        _clone_checked(_sleep, top, _CLONE_VM | signal.SIGCHLD, ctypes.c_void_p(_LONGEST_SLEEP), pid)
        try:
            for descriptor in descriptors:
                os.close(descriptor)
            return os.pidfd_open(pid.value)
        finally:
            os.kill(pid.value, signal.SIGKILL)  # it never comes back to its stack


def _start(function: Callable[[], object], execution: Iterable[object], flags: int, pid: ctypes.c_int) -> None:
    """Have a child call the function and then go through `execution`; `pid` is set when it is born."""
    ended = False

    def work() -> None:
        nonlocal ended
        try:
            function()
        finally:
            ended = True

    # All but the function itself is C's.
    steps = itertools.chain(map(operator.call, (work,)), execution)
    collecting = gc.isenabled()
    gc.disable()  # a collection in the child would close descriptors of the caller's garbage, in its own table only
    mask = process.block_signals()
    try:
        with _stack(_STACK_SIZE) as top:
            _clone_checked(_exhaust, top, _CLONE_VM | _CLONE_VFORK | flags, ctypes.py_object(steps), pid)
            if not ended:
                os._exit(_KILLED)
    finally:
        process.set_signal_mask(mask)
        if collecting:
            gc.enable()


def _clone_checked(function: ctypes.c_void_p, top: int, flags: int, argument: object, pid: ctypes.c_int) -> None:
    result = _clone(function, ctypes.c_void_p(top), flags | _CLONE_PARENT_SETTID, argument, ctypes.byref(pid))
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"clone with {flags:#x}: {os.strerror(code)}")


@contextlib.contextmanager
def _stack(size: int) -> Iterator[int]:
    """The top of a stack, whose lowest page nobody can touch."""
    whole = ctypes.c_size_t(size + _GUARD_SIZE)
    # Private: one that is shared would be used by the child and by what that forks.
    kind = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_STACK
    address = _mmap(None, whole, mmap.PROT_READ | mmap.PROT_WRITE, kind, -1, ctypes.c_long(0))
    if address == _MAP_FAILED:
        code = ctypes.get_errno()
        raise OSError(code, f"no memory for a stack: {os.strerror(code)}")
    try:
        _mprotect(ctypes.c_void_p(address), ctypes.c_size_t(_GUARD_SIZE), 0)
        yield address + _GUARD_SIZE + size
    finally:
        _munmap(ctypes.c_void_p(address), whole)


def _reap(pid: ctypes.c_int) -> None:
    if pid.value > 0:
        os.waitpid(pid.value, _WALL)
