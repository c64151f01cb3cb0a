"""Namespaces made before there is a container for them.

A network namespace alone takes the kernel most of a millisecond. So the process that supervises the containers of an
engine makes a user namespace with its ids, and the network, host name and IPC that belong to it, while it has nothing
to do (`supervision`), and the next container takes them; one that wants others makes its own (`host`). The range of ids
stays that process's, which lends it to one container after the other: to give it away and to take another would change
the folder of ranges four times for each. `reclaim` gives it back when the process is gone.
"""

from __future__ import annotations

import functools
import itertools
import os
import socket
from typing import TYPE_CHECKING

from sandbox.kernel import idmap, polling, process, vfork
from sandbox.kernel.idranges import IdRanges
from sandbox.kernel.namespaces import Flags, setns, unshare
from sandbox.network import interface
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sandbox.kernel.idmap import IdMap

_PREFIX = "process-"
_MOST_IDLE = 8  # ranges that are kept for the next containers
_KINDS = {Flags.NEWUSER: "user", Flags.NEWNET: "net", Flags.NEWUTS: "uts", Flags.NEWIPC: "ipc"}  # names in /proc


class Range(NamedTuple):
    """A range of ids, and its owner as `IdRanges` knows it."""

    owner: str
    ids: IdMap


class Spare(NamedTuple):
    """`namespaces` are descriptors by their kind, the user namespace first, and the taker's to close; the range goes
    back to where it came from.
    """

    range: Range
    namespaces: Mapping[Flags, int]

    def has(self, flags: Flags) -> bool:
        """Whether it is of these kinds, no more and no less."""
        return set(self.namespaces) == set(flags)

    def close(self) -> None:
        """Let the namespaces go."""
        for descriptor in self.namespaces.values():
            os.close(descriptor)


def make(flags: Flags, ids: IdMap) -> Mapping[Flags, int]:
    """Descriptors of a user namespace with its ids, and of the others that belong to it; nobody is in them. Without
    NEWUSER among `flags` they belong to ours.
    """
    if not flags:
        return {}
    with vfork.sleeper(flags) as pid:
        if Flags.NEWUSER in flags:
            idmap.write(pid, ids)
        kinds = ((flag, name) for flag, name in _KINDS.items() if flag in flags)
        return {flag: os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for flag, name in kinds}


def make_within(user: int, flags: Flags) -> Mapping[Flags, int]:
    """Namespaces that belong to the user namespace behind a descriptor, as descriptors; nobody is in them."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    kinds = {flag: name for flag, name in _KINDS.items() if flag in flags}

    def work() -> None:  # in a process with descriptors of its own
        setns(user, Flags.NEWUSER)
        unshare(flags)
        found = [os.open(f"/proc/self/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in kinds.values()]
        socket.send_fds(theirs, [b"namespaces"], found)

    with ours, theirs:
        try:
            vfork.call(work)
        finally:
            process.set_dumpable(True)  # the child, in our memory, has taken that away with its change of user
        return dict(zip(kinds, socket.recv_fds(ours, 16, len(kinds))[1], strict=True))


class Spares:
    """At most one set for each state directory, and only for root, whose containers have ranges of their own."""

    def __init__(self) -> None:
        self._made: dict[Path, Spare] = {}
        self._idle: dict[Path, list[Range]] = {}
        self._owner = owner(os.getpid())
        self._numbers = itertools.count()

    def prepare(self, home: Path) -> None:
        """Make the set for `home`, unless it is there. Raises OSError, SandboxError (no ids are left)."""
        if home in self._made or not idmap.in_initial_namespace():
            return
        lent = self._range(home)
        spare: Spare | None = None
        try:
            spare = Spare(lent, make(Flags.NEWUSER | Flags.NEWNET | Flags.NEWUTS | Flags.NEWIPC, lent.ids))
            vfork.call(functools.partial(_set_up_network, spare.namespaces))
        except BaseException:
            if spare is not None:
                spare.close()
            self.give_back(home, lent)
            raise
        self._made[home] = spare

    def take(self, home: Path) -> Spare | None:
        """The set, if there is one; its range is to be given back when nobody has its ids any more."""
        return self._made.pop(home, None)

    def give_back(self, home: Path, lent: Range) -> None:
        """Have a range for the next container, unless somebody still shares it with the one that has ended."""
        idle = self._idle.setdefault(home, [])
        ranges = IdRanges(home / "ids")
        if len(idle) < _MOST_IDLE and not ranges.is_shared(lent.ids):
            idle.append(lent)
        else:
            ranges.release(lent.owner)

    def close(self) -> None:
        """Give up all that is not in use."""
        for home, spare in self._made.items():
            spare.close()
            self._idle.setdefault(home, []).append(spare.range)
        for home, idle in self._idle.items():
            for lent in idle:
                IdRanges(home / "ids").release(lent.owner)
        self._made.clear()
        self._idle.clear()

    def _range(self, home: Path) -> Range:
        idle = self._idle.get(home)
        if idle:
            return idle.pop()
        name = f"{self._owner}.{next(self._numbers)}"
        return Range(name, IdRanges(home / "ids").allocate(name))


def _set_up_network(namespaces: Mapping[Flags, int]) -> None:
    """In a child: what a network namespace needs, whatever networks its container will be in."""
    for flag in (Flags.NEWUSER, Flags.NEWNET):
        setns(namespaces[flag], flag)
    interface.begin()


def owner(pid: int) -> str:
    """A process as the owner of ranges, each of which adds a dot and a number; no later process with the same number is
    taken for it.
    """
    return f"{_PREFIX}{pid}-{process.start_time(pid)}-{process.boot_id()}"


def lives(name: str) -> bool | None:
    """Whether the process of an owner's name is there; None for the name of a container."""
    if not name.startswith(_PREFIX):
        return None
    try:
        pid = int(name.removeprefix(_PREFIX).partition("-")[0])
        pidfd = os.pidfd_open(pid)
    except (OSError, ValueError):
        return False
    try:
        known = name.rpartition(".")[0] == owner(pid)
        return known and not polling.readable(pidfd, 0)  # readable: it has ended, nobody has waited for it
    except OSError:
        return False
    finally:
        os.close(pidfd)
