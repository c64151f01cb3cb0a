"""Changes to a container that exists: another name, other limits, another restart policy. Called by the engine.

`config.json` is replaced as a whole, with the folder of all containers locked alone: nobody makes, renames or removes
one meanwhile. A running container's supervisor is told afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.errors import ConflictError, InvalidError
from sandbox.runtime import events

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.runtime.config import ContainerConfig
    from sandbox.runtime.spec import Resources
    from sandbox.runtime.state import ContainerFolder, Containers


def rename(home: Path, containers: Containers, folder: ContainerFolder, name: str) -> None:
    """Give the container another name. Raises ConflictError where it is taken, InvalidError where it cannot be one."""
    before = folder.config()
    if name == before.name:
        raise InvalidError(f"container {name} has that name already", hint="choose another")
    containers.rename(folder, before, name)
    events.of_container(home, before._replace(name=name), "rename", oldName=f"/{before.name}")


def update(
    home: Path, containers: Containers, folder: ContainerFolder, resources: dict[str, Any], restart: str | None
) -> ContainerConfig:
    """Write other limits (fields of Resources; others stay) and another restart policy; the new configuration."""
    with containers.alone():
        before = folder.config()
        if restart not in (None, "no", "") and before.spec.auto_remove:
            raise ConflictError(
                f"container {before.name} removes itself at its end, so it cannot have a restart policy",
                reference="auto-remove",
            )
        changed = before.spec.resources._replace(**resources)
        check(changed)
        spec = before.spec._replace(resources=changed)
        if restart is not None:
            spec = spec._replace(restart=restart)
        after = before._replace(spec=spec)
        folder.replace_config(after)
    events.of_container(home, after, "update")
    return after


def check(resources: Resources) -> None:
    """Refuse limits that contradict each other."""
    memory, swap, kept = resources.memory, resources.memory_swap, resources.memory_reservation
    if swap is not None and swap >= 0:
        if memory is None:
            raise InvalidError("a limit of memory and swap needs a limit of memory", hint="add --memory")
        if swap < memory:
            raise InvalidError(
                "the limit of memory and swap is below that of memory", hint="it counts both: raise --memory-swap"
            )
    if kept is not None and memory is not None and kept > memory:
        raise InvalidError("the memory reservation is above the limit of memory", hint="lower --memory-reservation")
