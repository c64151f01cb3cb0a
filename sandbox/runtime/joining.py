"""A container's places in networks: reserved before its start, with names and published ports; its files in /etc.

Called by `facts` in the supervisor. Nothing here touches the kernel but for the sockets that claim ports, which belong
to this process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.network import names as hosts_files
from sandbox.network.predefined import DEFAULT, HOST, NONE
from sandbox.network.resolvconf import nameservers, read_resolv_conf
from sandbox.records import NamedTuple
from sandbox.runtime.spec import Dns, Endpoint

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.network.networks import Networks
    from sandbox.network.publishing import Claim
    from sandbox.network.records import Attachment
    from sandbox.runtime.config import ContainerConfig

WITHOUT = (NONE, HOST)  # modes that are no network's name
SHARED = "shared"  # a file in the folder of a container that others have had the network of
HOST_GATEWAY = "host-gateway"  # for --add-host: the host, as the container reaches it
RESOLVER = "127.0.0.11"  # resolver.ADDRESS, which most starts need not load
_UPLINK_RESOLVER = "10.0.2.3"  # uplink.RESOLVER
_RESOLVED_UPSTREAM = "/run/systemd/resolve/resolv.conf"  # the servers behind systemd-resolved's 127.0.0.53


class Joined(NamedTuple):
    """What a container has got: its places, the sockets that claim its ports, and what it has not got."""

    attachments: tuple[Attachment, ...] = ()
    claims: tuple[Claim, ...] = ()
    warnings: tuple[str, ...] = ()

    def leave(self, networks: Networks, identifier: str, *, shared: bool = False) -> None:
        """Give everything back; safe to repeat. `shared`: another container has been in the network namespace."""
        if self.attachments:
            networks.release(identifier, cut=shared)
        for claim in self.claims:
            claim.socket.close()


def endpoints(config: ContainerConfig) -> tuple[Endpoint, ...]:
    """The networks that the container is to be in, its own first."""
    spec = config.spec
    if spec.network in WITHOUT:
        return ()
    if spec.network.startswith("container:"):
        return ()
    return (Endpoint(spec.network, spec.aliases, spec.address, spec.address6, spec.mac), *spec.endpoints)


def stays_out(config: ContainerConfig, mode: str) -> bool:
    """Whether it is to be in none of our networks: there is nothing to join then."""
    return config.spec.network in WITHOUT or mode not in ("bridge", "host")


def stay_out(config: ContainerConfig) -> Joined:
    """Its place in no network."""
    return Joined(warnings=_discarded(config, config.spec.network))


def join(networks: Networks, folder: Path, config: ContainerConfig, mode: str) -> Joined:
    """Reserve all its places; `mode` is bridge, or host for one that shares the host's network and gets names only.

    On an error nothing is kept.
    """
    spec = config.spec
    hosts = folder / "hosts"
    hosts.unlink(missing_ok=True)  # a former start's
    (folder / SHARED).unlink(missing_ok=True)
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
    for request in config.spec.ports:
        if networks.held or (":" in request.address and not network.subnet6):
            from sandbox.network import forwarding  # noqa: PLC0415  (where rules do)

            forwarding.check(request)
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
    names = own_names(config, endpoint)
    extra: tuple[tuple[str, str], ...] = ()
    if number == 0 and config.spec.extra_hosts:
        extra = _extra_hosts(config, "127.0.0.1" if mode == "host" else networks.host_address(endpoint.network))
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
        mac=endpoint.mac,
        ports=tuple(claim.port for claim in joined.claims) if number == 0 else (),
    )


def _discarded(config: ContainerConfig, mode: str) -> tuple[str, ...]:
    if not config.spec.ports:
        return ()
    return (f"published ports are discarded: the container has network {mode!r}",)


def own_names(config: ContainerConfig, endpoint: Endpoint) -> tuple[str, ...]:
    """What the container is found by, the host name first."""
    return tuple(dict.fromkeys((config.hostname, config.name, *endpoint.aliases)))


def files(config: ContainerConfig, network: str, *, held: bool) -> tuple[tuple[str, str], ...]:
    """(name, text) of the container's own files in /etc; `Networks` writes the hosts of those that have peers. `held`:
    the host's servers are asked by way of `network.uplink`.
    """
    if network == "container":
        return ()  # they are the other's
    bridged = network == "bridge"
    server = _UPLINK_RESOLVER if bridged and held else ""
    text = resolv_conf(config, network, resolver=bridged and has_resolver(config), server=server)
    found = (("hostname", config.hostname + "\n"), ("resolv.conf", text))
    if config.spec.network not in WITHOUT:
        return found
    own = own_names(config, Endpoint(config.spec.network, config.spec.aliases))
    return (*found, ("hosts", hosts_files.base(own, _extra_hosts(config, "127.0.0.1"))))


def has_resolver(config: ContainerConfig) -> bool:
    """Whether it has names of peers to ask for: in networks that somebody made. As docker's default network, ours has
    /etc/hosts alone.
    """
    return any(one.network != DEFAULT for one in endpoints(config))


def resolv_conf(config: ContainerConfig, network: str, *, resolver: bool, server: str = "") -> str:
    """The host's, with what the container has instead of it; `server` is one that asks the host's, if they are not to
    be asked by the container.

    A server on the host's loopback is out of reach from another network namespace, so systemd-resolved's upstream is
    named; the container's own resolver asks such a server for it.
    """
    text = read_resolv_conf()
    dns = config.spec.dns
    if network == "host" and dns == Dns():
        return text
    servers = nameservers(text)
    if network != "host" and servers and all(_is_loopback(one) for one in servers):
        text = read_resolv_conf(_RESOLVED_UPSTREAM) or text
    lines = [line.split() for line in text.splitlines()]
    kept = [one for one in nameservers(text) if network == "host" or not _is_loopback(one)]
    search = [words[1:] for words in lines if words and words[0] in ("search", "domain")][-1:]
    options = [word for words in lines if words and words[0] == "options" for word in words[1:]]
    if dns.search:
        search = [[word for word in dns.search if word != "."]]
    if dns.options:
        options = list(dns.options)
    if resolver and not any(word.startswith("ndots:") for word in options):
        options.append("ndots:0")
    if server:
        kept = [server]
    found = [f"nameserver {one}" for one in ([RESOLVER] if resolver else dns.servers or kept)]
    found += [f"search {' '.join(words)}" for words in search if words]
    found += [f"options {' '.join(options)}"] if options else []
    return "".join(f"{line}\n" for line in found)


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"


def _extra_hosts(config: ContainerConfig, host: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, host if address == HOST_GATEWAY else address) for name, address in config.spec.extra_hosts)
