"""Networks of a container that exists: joined and left, also while it runs.

`connect` and `disconnect` are the engine's: they write what the container is to be in to its configuration and, when it
runs, ask its supervisor, which carries out `enter` and `leave`: reserves the address, makes the interface and sets it
up inside the container's network namespace.
"""

from __future__ import annotations

import contextlib
import functools
import os
from typing import TYPE_CHECKING

from sandbox.errors import ConflictError, InvalidError, NotFoundError
from sandbox.kernel.namespaces import in_network
from sandbox.network import interface, resolver
from sandbox.network import names as hosts_files
from sandbox.network.predefined import DEFAULT
from sandbox.runtime import belongings
from sandbox.runtime.joining import endpoints, own_names, resolv_conf
from sandbox.runtime.spec import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.network.records import Attachment
    from sandbox.runtime.config import ContainerConfig
    from sandbox.runtime.facts import Allocations
    from sandbox.runtime.requests import Message, Supervised
    from sandbox.runtime.state import ContainerFolder, Containers


def connect(containers: Containers, folder: ContainerFolder, endpoint: Endpoint) -> None:
    """Have the container be in one more network from now on. Raises ConflictError when it is in it already."""
    with containers.alone():
        config = folder.config()
        _check_own(config, endpoint.network)
        if any(one.network == endpoint.network for one in endpoints(config)):
            raise ConflictError(
                f"container {config.name} is in network {endpoint.network} already", reference="already-connected"
            )
        _write(folder, config, (*endpoints(config), endpoint))


def disconnect(containers: Containers, folder: ContainerFolder, network: str) -> None:
    """Have the container not be in a network from now on. Raises ConflictError when it is not in it."""
    with containers.alone():
        config = folder.config()
        _check_own(config, network)
        kept = tuple(one for one in endpoints(config) if one.network != network)
        if len(kept) == len(endpoints(config)):
            raise ConflictError(f"container {config.name} is not in network {network}", reference="not-connected")
        _write(folder, config, kept)


def _check_own(config: ContainerConfig, network: str) -> None:
    shared = config.spec.network
    if network in ("host", "none"):
        raise InvalidError(f"no container can join or leave network {network!r} after it was made")
    if shared == "host" or shared.startswith("container:"):
        raise ConflictError(
            f"container {config.name} has the network {shared!r}, and can be in no other",
            hint="make it with --network none or the name of a network",
            reference="shared-network",
        )


def _write(folder: ContainerFolder, config: ContainerConfig, wanted: tuple[Endpoint, ...]) -> None:
    first = wanted[0] if wanted else Endpoint("none")
    spec = config.spec._replace(
        network=first.network,
        aliases=first.aliases,
        address=first.address,
        address6=first.address6,
        mac=first.mac,
        endpoints=wanted[1:],
    )
    folder.replace_config(config._replace(spec=spec))


# --- in the supervisor -----------------------------------------------------------------------------------------------


def enter(supervisor: Supervised, message: Message) -> Message:
    """Join a network now."""
    network, aliases, address, address6, mac = message["endpoint"]
    endpoint = Endpoint(network, tuple(aliases), address, address6, mac)
    allocations = _allocations(supervisor)
    present, networks, config = allocations.joined.attachments, allocations.networks, supervisor.config
    hosts = str(supervisor.home / "containers" / config.id / "hosts")
    if any(one.shared for one in present):
        attachment = networks.reserve_host(network, config.id, own_names(config, endpoint), hosts_path=hosts)
        _keep(supervisor, (*present, attachment))
        belongings.tell_network(supervisor.home, config, allocations, "connect", network)
        return {"event": "done"}
    taken = {one.interface for one in present}
    name = next(name for number in range(len(taken) + 1) if (name := f"eth{number}") not in taken)
    attachment = networks.reserve(
        network,
        config.id,
        own_names(config, endpoint),
        hosts_path=hosts,
        extra_hosts=config.spec.extra_hosts,
        interface=name,
        wanted=address,
        wanted6=address6,
        mac=mac,
    )
    way_out = bool(attachment.gateway) and not any(one.gateway for one in present)
    try:
        with _namespace(supervisor) as inside:
            networks.connect(attachment, inside)
            in_network(inside, functools.partial(interface.add, attachment, way_out=way_out))
    except BaseException:
        networks.leave(network, config.id)
        raise
    _keep(supervisor, (*present, attachment))
    if network != DEFAULT and allocations.resolver is None:
        with _namespace(supervisor) as inside:
            allocations.serve(supervisor.loop, resolver.listen(inside), config.spec.dns.servers)
        text = resolv_conf(config, "bridge", resolver=True)
        hosts_files.write(str(supervisor.home / "containers" / config.id / "resolv.conf"), text)
    belongings.tell_network(supervisor.home, config, allocations, "connect", network)
    return {"event": "done"}


def leave(supervisor: Supervised, message: Message) -> Message:
    """Leave a network now."""
    network = message["network"]
    allocations = _allocations(supervisor)
    present = allocations.joined.attachments
    gone = next((one for one in present if one.network == network), None)
    if gone is None:
        raise NotFoundError(f"container {supervisor.config.name} is not in network {network}")
    kept = tuple(one for one in present if one is not gone)
    successor = next((one for one in kept if one.gateway), None)
    if gone.interface:
        with _namespace(supervisor) as inside, contextlib.suppress(FileNotFoundError):
            in_network(inside, functools.partial(interface.remove, gone.interface, successor))
    allocations.networks.leave(network, supervisor.config.id)
    _keep(supervisor, kept)
    belongings.tell_network(supervisor.home, supervisor.config, allocations, "disconnect", network)
    return {"event": "done"}


def rename(supervisor: Supervised, old: str) -> None:
    """Be found by another name from now on."""
    allocations = _allocations(supervisor)
    config = supervisor.config
    changed = [
        allocations.networks.rename(one.network, config.id, old, config.name) or one
        for one in allocations.joined.attachments
    ]
    _keep(supervisor, tuple(changed))


def _allocations(supervisor: Supervised) -> Allocations:
    if supervisor.allocations is None:
        raise ConflictError(f"container {supervisor.config.name} is only starting", hint="try again")
    return supervisor.allocations


def _keep(supervisor: Supervised, attachments: tuple[Attachment, ...]) -> None:
    allocations = _allocations(supervisor)
    allocations.joined = allocations.joined._replace(attachments=attachments)
    supervisor.change(**{"address": "", "gateway": "", "mac": "", "attachments": ()} | allocations.address())
    supervisor.reload()


@contextlib.contextmanager
def _namespace(supervisor: Supervised) -> Iterator[int]:
    descriptor = os.open(f"/proc/{supervisor.state.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
