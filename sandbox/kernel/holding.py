"""The namespaces that the containers of an ordinary user share, and the process that holds them.

Root's engine has its bridges in the host's network namespace. An ordinary user may make none there, so the engine has a
network namespace of the user's own, which belongs to a user namespace of the user's own; and since nobody connects two
network namespaces without rights in both, all supervisors live in that one user namespace. A process that does nothing
holds the two: `holder`. Commands that start containers make it (`enter`), others join its user namespace where there is
one. It ends by itself, when nobody is left who has said that he stays (`stay`): supervisors and commands hold a lock
shared, it waits for the same lock alone. So it needs no messages, and whoever is killed has let go.

Below the engine's folder: `holder/lock`, held by whoever makes a holder; `holder/users`, the lock that all hold;
`holder/process`, a text that names it. The holder has at descriptor 3 the writing end of a pipe: what works for it (a
program that is its way out) reads from that, and knows by its end that the holder has ended, however that came about.

Called by the composition roots, in place of `idmap.become_root`, by supervisors and by the network part. Sources:
user_namespaces(7), network_namespaces(7), flock(2).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from typing import TYPE_CHECKING

from sandbox.errors import ConflictError
from sandbox.kernel import files, idmap, mounts, namespaces, process
from sandbox.kernel.namespaces import Flags

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import NoReturn

_FOLDER, _LOCK, _USERS, _PROCESS = "holder", "lock", "users", "process"
_PIPE = 3
_HIGH = 10  # a descriptor out of the way of the lower ones
_FORWARDING = ("/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding")


def enter(home: Path, *, hold: bool = False) -> None:
    """Make an ordinary user root of the user namespace of the engine below `home`: the one of its holder where that
    lives, else a new one. With `hold`, for who is to start containers, a holder is made where none lives, and stays as
    long as this process. Nothing happens for somebody who is root already.

    Everything else is as with `idmap.become_root`, errors included.
    """
    if idmap.is_root():
        return
    if not hold:
        if not _join(_living(home)):
            idmap.become_root()
        return
    with alone(home):
        stay(home)
        if not _join(_living(home)):
            idmap.become_root()
            _make(home)


def stay(home: Path) -> int:
    """Have the holder live as long as this process, or until the descriptor that this gives is closed."""
    (home / _FOLDER).mkdir(mode=0o700, parents=True, exist_ok=True)
    users = _open(home, _USERS)
    fcntl.flock(users, fcntl.LOCK_SH)
    return users


def hold(home: Path) -> int:
    """The pid of the holder in whose user namespace we are; one is made where none lives. The caller stays already.

    Raises `ConflictError` where the living one is in another: whoever came here by another way than `enter`, or
    outlived a holder that was killed, has no part in its networks.
    """
    with alone(home):
        pid = _living(home)
        if not pid:
            return _make(home)
    if not _is_ours(pid):
        raise ConflictError(
            "other containers of yours have begun after this one, in networks that it cannot enter",
            hint="start it again",
            reference="other-holder",
        )
    return pid


def holder(home: Path) -> int:
    """The pid of the holder in whose user namespace we are, 0 where there is none."""
    pid = _living(home)
    return pid if pid and _is_ours(pid) else 0


def network(pid: int) -> int:
    """A descriptor of the holder's network namespace."""
    return os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def lifeline(pid: int) -> int:
    """A descriptor that reaches its end when the holder does."""
    return os.open(f"/proc/{pid}/fd/{_PIPE}", os.O_RDONLY | os.O_CLOEXEC)


@contextlib.contextmanager
def alone(home: Path) -> Iterator[None]:
    """Keep others from making a holder, or something for all its users, at the same time."""
    (home / _FOLDER).mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = _open(home, _LOCK)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _open(home: Path, name: str) -> int:
    return os.open(home / _FOLDER / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _living(home: Path) -> int:
    """The pid of the holder, 0 for none."""
    try:
        pid, started, boot = files.read(home / _FOLDER / _PROCESS).decode().split()
        alive = boot == process.boot_id() and process.start_time(int(pid)) == int(started)
        alive = alive and not process.has_ended(int(pid))
    except (OSError, ValueError):
        return 0
    return int(pid) if alive else 0


def _is_ours(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, PermissionError):  # others' namespaces may not be looked at
        theirs, ours = os.stat(f"/proc/{pid}/ns/user"), os.stat("/proc/self/ns/user")
        return os.path.samestat(theirs, ours)
    return False


def _join(pid: int) -> bool:
    """Be root in the holder's user namespace, with mounts of one's own; False where it has ended."""
    if not pid:
        return False
    try:
        user = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        namespaces.setns(user, Flags.NEWUSER)
    finally:
        os.close(user)
    namespaces.unshare(Flags.NEWNS)
    mounts.mount(None, "/", None, mounts.Mount.REC | mounts.Mount.PRIVATE)
    return True


def _make(home: Path) -> int:
    """Make the holder, in a new network namespace of our user namespace; its pid. The caller is alone."""
    ready, ready_theirs = os.pipe2(os.O_CLOEXEC)
    signals = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid, pidfd = namespaces.clone(Flags.NEWNET, exit_signal=0)
        if pid == 0:
            _hold(home, ready_theirs)
        os.close(pidfd)
        os.close(ready_theirs)
        os.read(ready, 1)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)
        os.close(ready)
    files.replace(str(home / _FOLDER / _PROCESS), f"{pid} {process.start_time(pid)} {process.boot_id()}")
    return pid


def _hold(home: Path, ready: int) -> NoReturn:
    """Be the holder: wait until nobody else has the users' lock."""
    try:
        os.setsid()
        os.chdir("/")
        process.set_name("hako:networks")
        process.set_title("hako: networks")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        # Nothing stays open of the caller's: neither its locks, nor pipes whose end somebody waits for
        lifeline, ready = (fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, _HIGH) for one in (os.pipe2(os.O_CLOEXEC)[1], ready))
        process.close_all_but((lifeline, ready))
        for _ in range(_PIPE):
            os.open(os.devnull, os.O_RDWR)
        os.dup2(lifeline, _PIPE, inheritable=False)
        os.close(lifeline)
        users = _open(home, _USERS)
        for path in _FORWARDING:
            with contextlib.suppress(OSError):  # a kernel without it has nobody to forward for
                files.write(path, "1")
        os.write(ready, b"1")
        os.close(ready)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        fcntl.flock(users, fcntl.LOCK_EX)
    finally:
        os._exit(0)
