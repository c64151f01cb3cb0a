"""Namespaces made before there is a container for them.

A network namespace alone takes the kernel most of a millisecond. So the process that supervises the containers of an
engine makes a user namespace with its ids, and the network, host name and IPC that belong to it, while it has nothing
to do (`supervision`), and the next container takes them; one that wants others makes its own (`host`). The range of
ids belongs to that process until then, and `reclaim` gives it back when the process is gone.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from sandbox.kernel import idmap, namespaces, polling, process, vfork
from sandbox.kernel.idranges import IdRanges
from sandbox.kernel.namespaces import Flags
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sandbox.kernel.idmap import IdMap

_PREFIX = "process-"
_KINDS = {Flags.NEWUSER: "user", Flags.NEWNET: "net", Flags.NEWUTS: "uts", Flags.NEWIPC: "ipc"}  # names in /proc


class Spare(NamedTuple):
    """`namespaces` are descriptors by their kind, the user namespace first, and the taker's to close."""

    ids: IdMap
    namespaces: Mapping[Flags, int]

    def has(self, flags: Flags) -> bool:
        """Whether it is of these kinds, no more and no less."""
        return set(self.namespaces) == set(flags)

    def close(self) -> None:
        """Let the namespaces go."""
        for descriptor in self.namespaces.values():
            os.close(descriptor)


def make(flags: Flags, ids: IdMap) -> Spare:
    """A user namespace with its ids, and the others that belong to it; nobody is in them. Without NEWUSER among
    `flags` they belong to ours.
    """
    if not flags:
        return Spare(ids, {})
    with vfork.sleeper(flags) as pid:
        if Flags.NEWUSER in flags:
            idmap.write(pid, ids)
        kinds = ((flag, name) for flag, name in _KINDS.items() if flag in flags)
        return Spare(ids, {flag: os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for flag, name in kinds})


def make_within(user: int, flags: Flags) -> Mapping[Flags, int]:
    """Namespaces that belong to the user namespace behind a descriptor, as descriptors; nobody is in them."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    kinds = {flag: name for flag, name in _KINDS.items() if flag in flags}

    def work() -> None:  # in a process with descriptors of its own
        namespaces.setns(user, Flags.NEWUSER)
        namespaces.unshare(flags)
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
        self._owner = owner(os.getpid())

    def prepare(self, home: Path) -> None:
        """Make the set for `home`, unless it is there. Raises OSError, SandboxError (no ids are left)."""
        if home in self._made or not idmap.in_initial_namespace():
            return
        ranges = IdRanges(home / "ids")
        ids = ranges.allocate(self._owner)
        try:
            self._made[home] = make(Flags.NEWUSER | Flags.NEWNET | Flags.NEWUTS | Flags.NEWIPC, ids)
        except BaseException:
            ranges.release(self._owner)
            raise

    def take(self, home: Path, container: str) -> Spare | None:
        """The set, if there is one: its ids belong to the container from now on."""
        spare = self._made.pop(home, None)
        if spare is not None:
            try:
                IdRanges(home / "ids").hand_over(spare.ids, container)
            except BaseException:
                spare.close()
                raise
        return spare

    def close(self) -> None:
        """Give all back."""
        for home, spare in self._made.items():
            spare.close()
            IdRanges(home / "ids").release(self._owner)
        self._made.clear()


def owner(pid: int) -> str:
    """A process as the owner of a range; no later one with the same number is taken for it."""
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
        return name == owner(pid) and not polling.readable(pidfd, 0)  # readable: it has ended, nobody has waited for it
    except OSError:
        return False
    finally:
        os.close(pidfd)
