"""Running a piece of a test in a process of its own: what changes namespaces, users or limits must not change
pytest.
"""

from __future__ import annotations

import functools
import os
import pickle
import pwd
import signal
import traceback
from typing import TYPE_CHECKING, NamedTuple, NoReturn, ParamSpec, TypeVar

import pytest

from sandbox.kernel import idmap, mounts, namespaces, process, vfork

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


def in_child(function: Callable[[], T], *, flags: int = 0) -> T:
    """What `function` gives, or raises, in a child with a single thread, born into the namespaces `flags`."""
    receive, send = os.pipe()
    # libc's own fork: pytest-xdist has a second thread, and what it holds of malloc's locks a bare clone leaves held.
    pid = os.fork()
    if pid == 0:
        try:
            os.close(receive)
            process.set_parent_death_signal(signal.SIGKILL)
            _answer(function, flags, send)
        finally:
            os._exit(1)
    os.close(send)
    with os.fdopen(receive, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(pid, 0)
    assert answer, f"the child ended with status {status:#x} before it answered"
    failed, value = pickle.loads(answer)  # noqa: S301  (our own child's)
    if failed:
        raise value
    result: T = value
    return result


def alone(test: Callable[P, None]) -> Callable[P, None]:
    """The test in a child with a single thread, as `clone` and `vfork` demand of their callers."""

    @functools.wraps(test)
    def inside(*args: P.args, **kwargs: P.kwargs) -> None:
        in_child(lambda: test(*args, **kwargs))

    return inside


def _answer(function: Callable[[], object], flags: int, send: int) -> NoReturn:
    pid, _ = namespaces.clone(flags)
    if pid != 0:
        os.close(send)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 0xFF)
    process.set_parent_death_signal(signal.SIGKILL)
    answer = _attempt(function)
    with os.fdopen(send, "wb") as pipe:
        pipe.write(answer)
    os._exit(0)


def user_namespace(ids: idmap.IdMap) -> int:
    """A user namespace with this map, held by nothing but the descriptor."""
    with vfork.sleeper(namespaces.Flags.NEWUSER) as pid:
        idmap.write(pid, ids)
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)


def _attempt(function: Callable[[], object]) -> bytes:
    try:
        return pickle.dumps((False, function()))
    except BaseException as error:
        try:
            error.add_note("in the child:\n" + traceback.format_exc())
            return pickle.dumps((True, error))
        except Exception:
            return pickle.dumps((True, AssertionError(traceback.format_exc())))


def in_mount_namespace(function: Callable[[], T]) -> T:
    """`function` in a mount namespace of its own, as root: the host's, or an ordinary user's in a user namespace."""

    def inside() -> T:
        if os.geteuid() != 0:
            idmap.become_root()
        else:
            namespaces.unshare(namespaces.Flags.NEWNS)
            mounts.mount(None, "/", None, mounts.Mount.REC | mounts.Mount.PRIVATE)
        return function()

    return in_child(inside)


class Account(NamedTuple):
    """Somebody who is not root."""

    uid: int
    gid: int


def account_without_ranges() -> Account:
    """An id that no account has; for an ordinary user it is himself, whatever he has."""
    if os.geteuid() == 0:
        known = {entry.pw_uid for entry in pwd.getpwall()}
        uid = next(number for number in range(54_321, 60_000) if number not in known)
        return Account(uid, uid)
    return Account(os.geteuid(), os.getegid())


def account_with_ranges() -> Account:
    """An account with subordinate ids of both kinds, or skip."""
    if not os.access("/usr/bin/newuidmap", os.X_OK):
        pytest.skip("newuidmap is not installed (package uidmap)")
    if os.geteuid() != 0:
        if not _ranges(os.geteuid()):
            pytest.skip("this user has no subordinate ids in /etc/subuid and /etc/subgid")
        return Account(os.geteuid(), os.getegid())
    for entry in pwd.getpwall():
        if entry.pw_uid != 0 and _ranges(entry.pw_uid):
            return Account(entry.pw_uid, entry.pw_gid)
    pytest.skip("no account of this machine has subordinate ids in /etc/subuid and /etc/subgid")


def _ranges(uid: int) -> bool:
    def given(path: str) -> bool:
        try:
            with open(path, encoding="utf-8") as file:  # noqa: PTH123
                return bool(idmap.subordinate_ranges(pwd.getpwuid(uid).pw_name, uid, file.read()))
        except (OSError, KeyError):
            return False

    return given("/etc/subuid") and given("/etc/subgid")


def as_account(account: Account, function: Callable[[], T]) -> T:
    """`function` in a child that is `account`, with no other group and no capability."""

    def inside() -> T:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(account.gid, account.gid, account.gid)
            os.setresuid(account.uid, account.uid, account.uid)
            process.set_dumpable(True)  # as after the exec that a real log-in has; a change of user takes it away
        return function()

    return in_child(inside)
