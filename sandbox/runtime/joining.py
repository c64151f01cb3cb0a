"""A container's places in networks: reserved before its start, with names and published ports; its files in /etc.

Called by `facts` in the supervisor. Nothing here touches the kernel but for the sockets that claim ports, which belong
to this process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sandbox.network import names as hosts_files
from sandbox.runtime.spec import Endpoint

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.network.networks import Networks
    from sandbox.network.publishing import Claim
    from sandbox.network.records import Attachment
    from sandbox.runtime.config import ContainerConfig

WITHOUT = ("none", "host")  # modes that are no network's name
_RESOLV_CONF = "/etc/resolv.conf"
_RESOLVED_UPSTREAM = "/run/systemd/resolve/resolv.conf"  # the servers behind systemd-resolved's 127.0.0.53
_RESOLV_CONF_LIMIT = 1 << 16


class Joined(NamedTuple):
    """What a container has got: its places, the sockets that claim its ports, and what it has not got."""

    attachments: tuple[Attachment, ...] = ()
    claims: tuple[Claim, ...] = ()
    warnings: tuple[str, ...] = ()

    def leave(self, networks: Networks, identifier: str) -> None:
        """Give everything back; safe to repeat."""
        if self.attachments:
            networks.release(identifier)
        for claim in self.claims:
            claim.socket.close()


def endpoints(config: ContainerConfig) -> tuple[Endpoint, ...]:
    """The networks that the container is to be in, its own first."""
    spec = config.spec
    if spec.network in WITHOUT:
        return ()
    return (Endpoint(spec.network, spec.aliases, spec.address, spec.address6), *spec.endpoints)


def join(networks: Networks, folder: Path, config: ContainerConfig, mode: str) -> Joined:
    """Reserve all its places; `mode` is bridge, or host for one that shares the host's network and gets names only.

    On an error nothing is kept.
    """
    spec = config.spec
    if spec.network in WITHOUT or mode not in ("bridge", "host"):
        return Joined(warnings=_discarded(config, spec.network))
    hosts = folder / "hosts"
    hosts.unlink(missing_ok=True)  # a former start's
    joined = Joined(warnings=_discarded(config, "host") if mode == "host" else ())
    try:
        if spec.ports and mode == "bridge":
            joined = _publish(networks, config, joined)
        for number, endpoint in enumerate(endpoints(config)):
            joined = joined._replace(
                attachments=(*joined.attachments, _reserve(networks, hosts, config, endpoint, number, mode, joined))
            )
    except BaseException:
        networks.release(config.id)
        joined._replace(attachments=()).leave(networks, config.id)
        raise
    return joined


def _publish(networks: Networks, config: ContainerConfig, joined: Joined) -> Joined:
    from sandbox.network.publishing import claim  # noqa: PLC0415  (few containers publish ports)

    network = networks.get(config.spec.network)
    if network.internal:
        warning = f"network {config.spec.network} is internal: published ports are discarded"
        return joined._replace(warnings=(*joined.warnings, warning))
    return joined._replace(claims=tuple(claim(config.spec.ports, networks.publisher, ipv6=bool(network.subnet6))))


def _reserve(
    networks: Networks,
    hosts: Path,
    config: ContainerConfig,
    endpoint: Endpoint,
    number: int,
    mode: str,
    joined: Joined,
) -> Attachment:
    names, extra = own_names(config, endpoint), config.spec.extra_hosts if number == 0 else ()
    if mode == "host":
        return networks.reserve_host(endpoint.network, config.id, names, hosts_path=str(hosts), extra_hosts=extra)
    return networks.reserve(
        endpoint.network,
        config.id,
        names,
        hosts_path=str(hosts),
        extra_hosts=extra,
        interface=f"eth{number}",
        wanted=endpoint.address,
        wanted6=endpoint.address6,
        ports=tuple(claim.port for claim in joined.claims) if number == 0 else (),
    )


def _discarded(config: ContainerConfig, mode: str) -> tuple[str, ...]:
    if not config.spec.ports:
        return ()
    return (f"published ports are discarded: the container has network {mode!r}",)


def own_names(config: ContainerConfig, endpoint: Endpoint) -> tuple[str, ...]:
    """What the container is found by, the host name first."""
    return tuple(dict.fromkeys((config.hostname, config.name, *endpoint.aliases)))


def files(config: ContainerConfig, network: str) -> tuple[tuple[str, str], ...]:
    """(name, text) of the container's own files in /etc; `Networks` writes the hosts of those that have peers."""
    found = (("hostname", config.hostname + "\n"), ("resolv.conf", _resolv_conf(network)))
    if config.spec.network not in WITHOUT:
        return found
    own = own_names(config, Endpoint(config.spec.network, config.spec.aliases))
    return (*found, ("hosts", hosts_files.base(own, config.spec.extra_hosts)))


def _resolv_conf(network: str) -> str:
    """The host's resolvers; a resolver on the host's loopback is out of reach from another network namespace, so its
    upstream is named.
    """
    text = _read(_RESOLV_CONF)
    if network == "host":
        return text
    servers = [line.split()[1] for line in text.splitlines() if line.startswith("nameserver") and len(line.split()) > 1]
    if servers and all(server.startswith("127.") or server == "::1" for server in servers):
        return _read(_RESOLVED_UPSTREAM) or text
    return text


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(_RESOLV_CONF_LIMIT).decode("utf-8", "replace")
    except OSError:
        return ""
