"""Another container's network, for `--network container:NAME`: whose it is, what contradicts it, where it is found.

Called by the engine when a container is made, and by `facts` at its start, when the other has to run. Both have one
network namespace and the same files in /etc; each has its own user namespace, and the network belongs to the first
one's, so root of the second has no power over it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandbox.errors import ConflictError, InvalidError, NotFoundError
from sandbox.records import NamedTuple
from sandbox.runtime.joining import SHARED
from sandbox.runtime.spec import Dns
from sandbox.runtime.state import Containers, Status

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.runtime.config import ContainerConfig
    from sandbox.runtime.spec import ContainerSpec
    from sandbox.runtime.state import ContainerFolder

PREFIX = "container:"


class Owner(NamedTuple):
    """The container whose network is shared. `pid` and `start_time` are its first process's, both 0 where it has the
    host's network; `folder` holds its files of /etc.
    """

    pid: int
    start_time: int
    folder: str


def settle(containers: Containers, spec: ContainerSpec) -> ContainerSpec:
    """The specification with the other's id in place of its name, and with its host name.

    Raises NotFoundError (the other), InvalidError for what the other alone can have.
    """
    wanted = spec.network.removeprefix(PREFIX)
    if not wanted:
        raise InvalidError("--network container: names no container", hint="such as container:web")
    own = {
        "a host name": spec.hostname,
        "published ports": spec.ports or spec.publish_all,
        "exposed ports": spec.exposed,
        "aliases": spec.aliases,
        "an address": spec.address or spec.address6 or spec.mac,
        "additional hosts": spec.extra_hosts,
        "servers for names": spec.dns != Dns(),
    }
    for what, given in own.items():
        if given:
            raise InvalidError(
                f"conflicting options: {what} and the network of container {wanted}",
                hint=f"give them to {wanted} instead",
                reference="conflicting-options",
            )
    other = containers.find(wanted)
    return spec._replace(network=f"{PREFIX}{other.id}", hostname=other.config().hostname)


def find(home: Path, config: ContainerConfig) -> Owner:
    """The container whose network `config` shares. Raises ConflictError where that does not run, NotFoundError."""
    folder = _other(home, config)
    other, state = folder.config(), folder.state()
    if state.status is not Status.RUNNING or not folder.is_running():
        raise ConflictError(
            f"cannot join the network of container {other.name}, which is not running",
            hint=f"`sandbox start {other.name}` first",
            reference="not-running",
        )
    while other.spec.network.startswith(PREFIX):  # it has somebody's, too, and that one's files
        folder = _other(home, other)
        other = folder.config()
    try:
        shared = os.stat("/proc/self/ns/net").st_ino == os.stat(f"/proc/{state.pid}/ns/net").st_ino
    except OSError:
        shared = False  # its end is found when it is entered
    pid, start_time = (0, 0) if shared else (state.pid, state.start_time)
    return Owner(pid, start_time, str(folder.path))


def mark(home: Path, config: ContainerConfig) -> None:
    """Note with every container on the way that its network is shared: at its end its interfaces are to go, though the
    namespace goes on.
    """
    while config.spec.network.startswith(PREFIX):
        folder = _other(home, config)
        (folder.path / SHARED).touch()
        config = folder.config()


def _other(home: Path, config: ContainerConfig) -> ContainerFolder:
    identifier = config.spec.network.removeprefix(PREFIX)
    try:
        folder = Containers(home / "containers").find(identifier)
        folder.config()
    except NotFoundError as error:
        raise NotFoundError(
            f"container {identifier[:12]}, whose network {config.name} is to have, is gone", hint="make both anew"
        ) from error
    return folder
