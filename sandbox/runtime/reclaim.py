"""Gives back what killed engines, supervisors and a lost machine left behind.

Everything a container holds is recorded under `$HAKO_HOME` before it is taken, and belongs to a container whose lock
tells whether somebody still lives for it. So nothing is guessed: a container that says "running" without a supervisor
is ended, and every control group, address, id range, name and half-made folder without a living owner goes. Processes
need no hunt: init dies with its supervisor by the kernel (PR_SET_PDEATHSIG), or here by its number, and the others
with init; the control group ends whatever else should remain.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

from sandbox.errors import NotFoundError
from sandbox.kernel import polling, process
from sandbox.kernel.cgroups import Cgroup
from sandbox.kernel.idranges import IdRanges
from sandbox.network.networks import Networks
from sandbox.runtime import control, spares
from sandbox.runtime.facts import CGROUP_PARENT, hierarchy
from sandbox.runtime.joining import SHARED
from sandbox.runtime.state import ContainerFolder, Containers, Status

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.runtime.state import State

LOST_EXIT_CODE = 137  # as after a SIGKILL, which is how it ended
_END_TIMEOUT = 5.0  # seconds until SIGKILL must have ended a container


def lost(state: State) -> State:
    """A running container's state after its supervisor was killed: it ended, nobody saw when."""
    return state._replace(
        status=Status.EXITED,
        pid=0,
        paused=False,
        restarting=False,
        lost=True,
        finished=state.finished or time.time(),
        exit_code=LOST_EXIT_CODE,
        error="its supervisor was killed",
        address="",
        gateway="",
        mac="",
        attachments=(),
    )


def reclaim(home: Path) -> list[str]:
    """Everything that is left behind below `home` and in the kernel under its names; one line for each thing given
    back.
    """
    done: list[str] = []
    containers = Containers(home / "containers")
    ranges = IdRanges(home / "ids")
    holding = ranges.owners()
    # Their containers are all ended below. One that dies meanwhile may leave some: the next time.
    gone = frozenset(owner for owner in holding if spares.lives(owner) is False)
    stuck = False
    for folder in list(containers):
        try:
            lock = folder.try_lock()
        except NotFoundError:
            continue
        if lock is None:
            continue
        try:
            if _began(folder) or (folder.id in holding and folder.id in ranges.owners()):  # it may just have ended
                ended, line = reclaim_container(home, folder)
                stuck = stuck or not ended
                done.append(line)
        except NotFoundError:
            if not _is_readable(folder):  # and nobody is at it: see `state`
                containers.remove(folder, "")
                done.append(f"container {folder.id[:12]}: lost with its machine; removed")
        finally:
            os.close(lock)
    done += [f"half-made container {identifier[:12]}: removed" for identifier in containers.remove_unfinished()]
    done += [f"name {name}: freed" for name in containers.free_stale_names()]
    alive = _Alive(containers, frozenset() if stuck else gone)
    done += [f"id range of {owner[:12]}: given back" for owner in ranges.reclaim(alive)]
    Networks(home / "networks").reclaim(alive)
    return done


def _is_readable(folder: ContainerFolder) -> bool:
    try:
        folder.config()
    except NotFoundError:
        return False
    return True


def _began(folder: ContainerFolder) -> bool:
    """Whether a start of this container, which has no supervisor, was begun and has not come to its end."""
    if folder.state().status is Status.RUNNING or Cgroup.open(hierarchy(), group(folder.id)).paths:
        return True
    # With auto_remove there is no second start: whatever is there besides what `create` made, the first one has left.
    return folder.config().spec.auto_remove and not folder.is_pristine()


def reclaim_container(home: Path, folder: ContainerFolder) -> tuple[bool, str]:
    """End what is left of a container whose supervisor is dead; whether that went well, and a line about it. The caller
    holds its lock.
    """
    config, state = folder.config(), folder.state()
    _end_init(state)
    cgroup = Cgroup.open(hierarchy(), group(folder.id))
    if not (cgroup.kill() and cgroup.remove()):
        return False, f"container {config.name}: a process of it does not end; left for the next time"
    # Only now, when nobody of the container's is left to use them.
    Networks(home / "networks").release(folder.id, cut=(folder.path / SHARED).exists())
    IdRanges(home / "ids").release(folder.id)
    if config.spec.auto_remove:
        Containers(home / "containers").remove(folder, config.name, mounts=config.spec.mounts)
        return True, f"container {config.name}: its supervisor was killed; removed"
    (folder.path / control.SOCKET_NAME).unlink(missing_ok=True)
    if state.status is Status.RUNNING:
        with contextlib.suppress(OSError):  # the disk is full, perhaps until this container is removed
            folder.write_state(lost(state))
    return True, f"container {config.name}: its supervisor was killed; ended"


def _end_init(state: State) -> None:
    """Kill the container's first process, and all the others with it.

    The kernel has done that already, unless the container took back its request for a signal: every process may
    (prctl(2)), and the execution of a set-user-id program does.
    """
    if not state.pid or state.boot_id != process.boot_id():
        return
    try:
        pidfd = os.pidfd_open(state.pid)
    except ProcessLookupError:
        return
    try:
        if process.start_time(state.pid) == state.start_time:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            polling.readable(pidfd, _END_TIMEOUT)
    except (ProcessLookupError, FileNotFoundError):
        return
    finally:
        os.close(pidfd)


def group(identifier: str) -> str:
    """The name of a container's control group."""
    return f"{CGROUP_PARENT}/{identifier}"


class _Alive:
    """Whether the owner of something lives: a container that has a supervisor or is being made, or a process that is
    not in `gone`.
    """

    def __init__(self, containers: Containers, gone: frozenset[str]) -> None:
        self._containers = containers
        self._gone = gone

    def __call__(self, identifier: str) -> bool:
        if spares.lives(identifier) is None:
            return ContainerFolder(self._containers.root / identifier).is_running()
        return identifier not in self._gone
