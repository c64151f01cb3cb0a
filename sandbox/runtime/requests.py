"""What a supervisor answers besides its container's own life: freezing, limits, processes.

Called by the supervisor for messages of `control` that it does not know itself. Each function gets the supervisor and
the message, and returns the reply.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, Protocol

from sandbox.errors import ConflictError, UnsupportedError
from sandbox.runtime import events

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sandbox.kernel.cgroups import Cgroup
    from sandbox.runtime.config import ContainerConfig
    from sandbox.runtime.facts import Allocations
    from sandbox.runtime.state import State
    from sandbox.runtime.streams import Part

Message = dict[str, Any]


class Supervised(Protocol):
    """What of a supervisor is used here."""

    home: Path

    @property
    def config(self) -> ContainerConfig:
        """As it was last read."""

    @property
    def state(self) -> State:
        """As it was last written."""

    @property
    def cgroup(self) -> Cgroup | None:
        """The container's control group."""

    @property
    def loop(self) -> Part:
        """What it waits with."""

    @property
    def allocations(self) -> Allocations | None:
        """What it holds of the host."""

    def change(self, **fields: object) -> None:
        """Change fields of the state and write it."""

    def reload(self) -> None:
        """Read the configuration again, which somebody has changed."""


def _group(supervisor: Supervised, what: str) -> Cgroup:
    group = supervisor.cgroup
    if group is None or not group.paths:
        raise UnsupportedError(
            f"cannot {what} container {supervisor.config.name}: it has no control group",
            hint="this host gives an ordinary user none" if group is None or group.warnings else "",
        )
    return group


def pause(supervisor: Supervised, _: Message) -> Message:
    """Freeze all processes."""
    if supervisor.state.paused:
        raise ConflictError(f"container {supervisor.config.name} is paused already", reference="paused")
    group = _group(supervisor, "pause")
    if not group.freeze(True):
        group.freeze(False)
        raise UnsupportedError(f"cannot pause container {supervisor.config.name}: the host has no freezer")
    supervisor.change(paused=True)
    events.of_container(supervisor.home, supervisor.config, "pause")
    return {"event": "done"}


def unpause(supervisor: Supervised, message: Message) -> Message:
    """Let them go on."""
    if not supervisor.state.paused:
        if message.get("quietly"):
            return {"event": "done"}
        raise ConflictError(f"container {supervisor.config.name} is not paused", reference="not-paused")
    _group(supervisor, "unpause").freeze(False)
    supervisor.change(paused=False)
    events.of_container(supervisor.home, supervisor.config, "unpause")
    return {"event": "done"}


def processes(supervisor: Supervised, _: Message) -> Message:
    """The host's numbers of all processes inside: by the control group, else by their process namespace."""
    group = supervisor.cgroup
    found = group.processes() if group is not None and group.paths else _in_namespace(supervisor.state.pid)
    return {"event": "processes", "processes": found}


def _in_namespace(pid: int) -> list[int]:
    own = os.readlink(f"/proc/{pid}/ns/pid")
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with contextlib.suppress(OSError):  # ended meanwhile, or not ours
                if os.readlink(f"/proc/{name}/ns/pid") == own:
                    found.append(int(name))
    return found


def update(supervisor: Supervised, _: Message) -> Message:
    """Take over limits, policies and a name that were written to the configuration."""
    from sandbox.runtime.facts import limits  # noqa: PLC0415  (loaded: the start needed it)

    name = supervisor.config.name
    supervisor.reload()
    if supervisor.config.name != name and supervisor.state.attachments:
        from sandbox.runtime import connecting  # noqa: PLC0415  (seldom)

        connecting.rename(supervisor, name)
    warnings: tuple[str, ...] = ()
    if supervisor.cgroup is not None:
        before = supervisor.cgroup.warnings
        supervisor.cgroup.update(limits(supervisor.config.spec.resources))
        warnings = tuple(warning for warning in supervisor.cgroup.warnings if warning not in before)
    return {"event": "done", "warnings": warnings}


def connect(supervisor: Supervised, message: Message) -> Message:
    """Join one more network."""
    from sandbox.runtime import connecting  # noqa: PLC0415  (seldom)

    return connecting.enter(supervisor, message)


def disconnect(supervisor: Supervised, message: Message) -> Message:
    """Leave a network."""
    from sandbox.runtime import connecting  # noqa: PLC0415  (seldom)

    return connecting.leave(supervisor, message)


HANDLERS: dict[str, Callable[[Supervised, Message], Message]] = {
    "pause": pause,
    "unpause": unpause,
    "processes": processes,
    "update": update,
    "connect": connect,
    "disconnect": disconnect,
}
