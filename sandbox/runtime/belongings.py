"""Events of what a running container has of networks and volumes: connected and mounted, and given back at its end.

Called by the supervisor, before it tells of the start and after the death, as docker's daemon does. What is joined and
left meanwhile is told by `connecting`. Source: Engine API, EventMessage; the words of moby's daemon/events.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.runtime import events
from sandbox.runtime.spec import MountKind

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.runtime.config import ContainerConfig
    from sandbox.runtime.facts import Allocations


def tell_taken(home: Path, config: ContainerConfig, allocations: Allocations) -> None:
    """Of each of its networks "connect", of each volume "mount"."""
    _tell_networks(home, config, allocations, "connect")
    for mount in config.spec.mounts:
        if mount.kind is MountKind.VOLUME:
            what = {
                "container": config.id,
                "destination": mount.target,
                "driver": "local",
                "propagation": mount.propagation,
                "read/write": str(not mount.read_only).lower(),
            }
            events.record(home, "volume", "mount", mount.source, what)


def tell_given_back(home: Path, config: ContainerConfig, allocations: Allocations) -> None:
    """Of each network "disconnect", of each volume "unmount"."""
    _tell_networks(home, config, allocations, "disconnect")
    for mount in config.spec.mounts:
        if mount.kind is MountKind.VOLUME:
            events.record(home, "volume", "unmount", mount.source, {"container": config.id, "driver": "local"})


def tell_network(home: Path, config: ContainerConfig, allocations: Allocations, action: str, network: str) -> None:
    """One event of one network; of a network that is gone nothing is told."""
    found = allocations.networks.find(network)
    if found is not None:
        attributes = {"container": config.id, "name": found.name, "type": found.driver}
        events.record(home, "network", action, found.id, attributes)


def _tell_networks(home: Path, config: ContainerConfig, allocations: Allocations, action: str) -> None:
    for attachment in allocations.joined.attachments:
        tell_network(home, config, allocations, action, attachment.network)
