"""Another container's processes or shared memory, for `--pid container:NAME` and `--ipc container:NAME`.

Called by the engine when a container is made, and by `facts` at its start, when the other has to run. A process or a
piece of memory belongs to ids, so the two have one user namespace, the other's: what is root in the one is root in the
other, and the range of ids is given back when both have ended. Files, and all that is not asked for, stay apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.errors import ConflictError, InvalidError, NotFoundError
from sandbox.kernel.idmap import IdMap
from sandbox.kernel.idranges import RANGE_SIZE, map_from
from sandbox.records import NamedTuple
from sandbox.runtime.state import Containers, Status

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.runtime.config import ContainerConfig
    from sandbox.runtime.spec import ContainerSpec

PREFIX = "container:"


class Neighbour(NamedTuple):
    """The other container's first process, and the ids of both."""

    pid: int
    start_time: int  # ticks since boot
    ids: IdMap


def settle(containers: Containers, spec: ContainerSpec) -> ContainerSpec:
    """The specification with the other's id in place of its name.

    Raises NotFoundError (the other), ConflictError where that keeps its memory for itself, InvalidError where the line
    names two.
    """
    shared = spec.shared
    others = {}
    for option, name in (("--pid", shared.pid_container), ("--ipc", shared.ipc_container)):
        if name:
            others[option] = containers.find(name)
    if len({other.id for other in others.values()}) > 1:
        raise InvalidError(
            "--pid and --ipc name two containers, each with ids of its own", hint="name one, or leave one out"
        )
    other = next(iter(others.values()))
    theirs = other.config()
    if "--ipc" in others and not theirs.spec.shared.ipc_shareable:
        raise ConflictError(
            f"container {theirs.name} keeps its shared memory for itself",
            hint="make it with --ipc shareable",
            reference="not-shareable",
        )
    if shared.user and not theirs.spec.shared.user:
        raise InvalidError(
            f"container {theirs.name} has ids of its own, not the host's", hint="leave out --userns host"
        )
    return spec._replace(
        shared=shared._replace(
            pid_container=other.id if "--pid" in others else "",
            ipc_container=other.id if "--ipc" in others else "",
            user=theirs.spec.shared.user,
        )
    )


def find(home: Path, config: ContainerConfig) -> Neighbour | None:
    """The container that `config` shares with, if there is any. Raises ConflictError where that does not run,
    NotFoundError.
    """
    shared = config.spec.shared
    identifier = shared.pid_container or shared.ipc_container
    if not identifier:
        return None
    try:
        folder = Containers(home / "containers").find(identifier)
        name, state = folder.config().name, folder.state()
    except NotFoundError as error:
        raise NotFoundError(
            f"container {identifier[:12]}, with which {config.name} is to share, is gone", hint="make both anew"
        ) from error
    if state.status is not Status.RUNNING or not folder.is_running():
        raise ConflictError(
            f"cannot share with container {name}, which is not running",
            hint=f"`sandbox start {name}` first",
            reference="not-running",
        )
    ids = map_from(state.id_base) if state.id_base else IdMap.identity(RANGE_SIZE)
    return Neighbour(state.pid, state.start_time, ids)
