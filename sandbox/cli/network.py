"""`sandbox network`: create, list, look at and remove networks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sandbox.cli import values
from sandbox.cli.listing import FORMAT, QUIET, WHOLE, listing
from sandbox.cli.options import Option, Syntax, Verb
from sandbox.cli.output import say
from sandbox.cli.session import for_each, open_engine, reclaim

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.cli.options import Arguments
    from sandbox.network.records import Network
    from sandbox.runtime.config import ContainerConfig
    from sandbox.runtime.state import State

_HEADINGS = {
    "ID": "NETWORK ID",
    "Name": "NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "Subnet": "SUBNET",
    "Internal": "INTERNAL",
    "Labels": "LABELS",
}
_COLUMNS = ("ID", "Name", "Driver", "Scope", "Subnet")


def _create(arguments: Arguments, home: str) -> int:
    labels = values.labels(arguments.texts("label"), "--label")
    mtu = arguments.number("mtu", least=68)  # the least of IPv4
    made = open_engine(home).networks.create(
        arguments.operands[0],
        subnet=arguments.text("subnet") or None,
        gateway=arguments.text("gateway") or None,
        internal=arguments.flag("internal"),
        mtu=mtu,
        labels=labels,
    )
    say(f"{made.id}\n")
    return 0


def _list(arguments: Arguments, home: str) -> int:
    rows = [_row(network, whole=arguments.flag("no-trunc")) for network in open_engine(home).networks.everything()]
    say(listing(rows, _HEADINGS, _COLUMNS, arguments))
    return 0


def _row(network: Network, *, whole: bool) -> dict[str, str]:
    return {
        "ID": network.id if whole else network.id[:12],
        "Name": network.name,
        "Driver": network.driver,
        "Scope": "local",
        "Subnet": network.subnet,
        "Internal": "true" if network.internal else "false",
        "Labels": ",".join(f"{name}={value}" for name, value in network.labels.items()),
    }


def _inspect(arguments: Arguments, home: str) -> int:
    engine = open_engine(home)
    running = engine.containers()
    found = [describe(engine.networks.look_up(name), running) for name in arguments.operands]
    say(json.dumps(found, indent=4, ensure_ascii=False) + "\n")
    return 0


def describe(network: Network, running: Iterable[tuple[ContainerConfig, State]]) -> dict[str, Any]:
    """A network in docker's shape (Engine API, Network), with the containers that are in it now."""
    from sandbox.runtime.inspect import moment  # noqa: PLC0415  (brings datetime)

    return {
        "Name": network.name,
        "Id": network.id,
        "Created": moment(network.created),
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Config": _addresses(network)},
        "Internal": network.internal,
        "Containers": {
            config.id: {"Name": config.name, "MacAddress": state.mac, "IPv4Address": state.address}
            for config, state in running
            if config.spec.network == network.name
        },
        "Options": {"com.docker.network.bridge.name": network.bridge} if network.bridge else {},
        "Labels": dict(network.labels),
    }


def _addresses(network: Network) -> list[dict[str, str]]:
    return [{"Subnet": network.subnet, "Gateway": network.gateway}] if network.subnet else []


def _remove(arguments: Arguments, home: str) -> int:
    engine = open_engine(home)
    reclaim(engine)
    return for_each(arguments.operands, engine.networks.remove)


VERBS = {
    "network create": Verb(
        Syntax(
            "create a network whose containers find each other by name",
            "NAME",
            (
                Option(("--gateway",), "address of the host in it", "ADDRESS"),
                Option(("--internal",), "no way out of it"),
                Option(("--label",), "a label", "NAME[=VALUE]", many=True),
                Option(("--mtu",), "greatest packet (the uplink's)", "BYTES"),
                Option(("--subnet",), "its addresses (a free range)", "ADDRESS/LENGTH"),
            ),
        ),
        _create,
    ),
    "network ls": Verb(Syntax("list networks", "", (FORMAT, WHOLE, QUIET)), _list),
    "network inspect": Verb(Syntax("print everything about networks, as JSON", "NETWORK..."), _inspect),
    "network rm": Verb(Syntax("remove networks", "NETWORK..."), _remove),
}
