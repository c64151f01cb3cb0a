"""`sandbox network`: make, list, look at, join, leave and remove networks."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from sandbox.cli import values
from sandbox.cli.listing import FORMAT, QUIET, WHOLE, listing
from sandbox.cli.options import Option, Syntax, UsageError, Verb
from sandbox.cli.output import say, tell
from sandbox.cli.session import for_each, open_engine, reclaim
from sandbox.errors import ConflictError, NotFoundError, SandboxError
from sandbox.network.predefined import PREDEFINED
from sandbox.runtime.spec import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.cli.options import Arguments
    from sandbox.network.networks import Networks
    from sandbox.network.records import Attachment, Network
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
_FILTERS = ("name", "id", "driver", "scope", "type", "label", "dangling", "until")
_COLUMNS = ("ID", "Name", "Driver", "Scope", "Subnet")


def _create(arguments: Arguments, home: str) -> int:
    if arguments.text("driver", "bridge") != "bridge":
        raise UsageError(f"--driver {arguments.text('driver')!r} is unknown", hint="bridge is the only one")
    for key, only in (("ipam-driver", "default"), ("scope", "local")):
        if arguments.text(key, only) != only:
            raise UsageError(f"--{key} {arguments.text(key)!r} is unknown", hint=f"{only} is the only one")
    if not arguments.flag("ipv4", default=True):
        raise UsageError("--ipv4=false cannot be had: every network has IPv4 addresses", hint="leave it out")
    options = values.labels(arguments.texts("opt"), "--opt")
    subnet, subnet6 = _by_family(arguments, "subnet")
    gateway, gateway6 = _by_family(arguments, "gateway")
    networks = open_engine(home).networks
    made = networks.create(
        arguments.operands[0],
        subnet=subnet,
        gateway=gateway,
        internal=arguments.flag("internal"),
        mtu=_mtu(arguments, options),
        labels=values.labels(arguments.texts("label"), "--label"),
        ip_range=arguments.text("ip-range") or None,
        ipv6=arguments.flag("ipv6"),
        subnet6=subnet6,
        gateway6=gateway6,
        bridge=options.get("com.docker.network.bridge.name"),
        options=options,
    )
    for notice in networks.notices:
        tell(f"sandbox: warning: {notice}")
    say(f"{made.id}\n")
    return 0


def _by_family(arguments: Arguments, key: str) -> tuple[str | None, str | None]:
    """The IPv4 and the IPv6 value of an option that may be given once for each."""
    found: dict[bool, str] = {}
    for text in arguments.texts(key):
        if (":" in text) in found:
            raise UsageError(f"--{key} {text!r} is a second one", hint="a network has one of IPv4 and one of IPv6")
        found[":" in text] = text
    return found.get(False), found.get(True)


def _mtu(arguments: Arguments, options: dict[str, str]) -> int | None:
    if arguments.given("mtu"):
        return arguments.number("mtu", least=68)  # the least of IPv4
    for key in ("mtu", "com.docker.network.driver.mtu"):
        if key in options:
            text = options[key]
            if not (text.isascii() and text.isdigit()):
                raise UsageError(f"--opt {key}={text} is not a number of bytes", hint="such as mtu=1400")
            return int(text) or None
    return None


def _list(arguments: Arguments, home: str) -> int:
    networks = open_engine(home).networks
    found = [one for one in networks.everything() if _wanted(networks, one, arguments.texts("filter"))]
    rows = [_row(network, whole=arguments.flag("no-trunc")) for network in found]
    say(listing(rows, _HEADINGS, _COLUMNS, arguments))
    return 0


def _wanted(networks: Networks, network: Network, filters: tuple[str, ...]) -> bool:
    for text in filters:
        key, _, value = text.partition("=")
        if key not in _FILTERS:
            raise UsageError(f"--filter {text!r} is unknown", hint=f"one of: {', '.join(_FILTERS)}")
        if not _fits(networks, network, key, value):
            return False
    return True


def _fits(networks: Networks, network: Network, key: str, value: str) -> bool:
    custom = network.name not in PREDEFINED
    if key in ("name", "id", "driver", "scope", "type"):
        return {
            "name": values.fits(network.name, value),
            "id": values.fits(network.id, value),
            "driver": network.driver == value,
            "scope": value == "local",
            "type": value == ("custom" if custom else "builtin"),
        }[key]
    if key == "label":
        return values.has_label(network.labels, value)
    if key == "dangling":
        return (value in ("true", "1")) == (custom and not networks.attachments(network))
    from sandbox.cli.moments import parse  # noqa: PLC0415  (seldom)

    return network.created < parse(value, "--filter until", time.time()) / 1e9


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
    found: list[dict[str, Any]] = []
    code = 0
    for name in arguments.operands:
        try:
            network = engine.networks.look_up(name)
            found.append(describe(network, engine.containers()))
        except SandboxError as error:
            tell(f"sandbox: {error}")
            code = code or error.exit_code
    if arguments.given("format"):
        from sandbox.cli.template import Template  # noqa: PLC0415  (brings regular expressions)

        template = Template(arguments.text("format"))
        say("".join(f"{template.render(item)}\n" for item in found))
    else:
        say(json.dumps(found, indent=4, ensure_ascii=False) + "\n")
    return code


def describe(network: Network, running: Iterable[tuple[ContainerConfig, State]]) -> dict[str, Any]:
    """A network in docker's shape (Engine API, Network), with the containers that are in it now."""
    from sandbox.runtime.inspect import moment  # noqa: PLC0415  (brings datetime)

    options = dict(network.options)
    if network.bridge:
        options["com.docker.network.bridge.name"] = network.bridge
    if network.mtu:
        options["com.docker.network.driver.mtu"] = str(network.mtu)
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": moment(network.created),
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv4": bool(network.subnet),
        "EnableIPv6": bool(network.subnet6),
        "IPAM": {"Driver": "default", "Options": {}, "Config": _addresses(network)},
        "Internal": network.internal,
        "Attachable": False,
        "Ingress": False,
        "Containers": {
            config.id: _container(config, one)
            for config, state in running
            for one in state.attachments
            if one.network == network.name
        },
        "Options": options,
        "Labels": dict(network.labels),
    }


def _container(config: ContainerConfig, one: Attachment) -> dict[str, str]:
    return {
        "Name": config.name,
        "MacAddress": one.mac,
        "IPv4Address": f"{one.address}/{one.length}",
        "IPv6Address": f"{one.address6}/{one.length6}" if one.address6 else "",
    }


def _addresses(network: Network) -> list[dict[str, str]]:
    found = []
    if network.subnet:
        within = {"IPRange": network.ip_range} if network.ip_range else {}
        found.append({"Subnet": network.subnet, **within, "Gateway": network.gateway})
    if network.subnet6:
        found.append({"Subnet": network.subnet6, "Gateway": network.gateway6})
    return found


def _remove(arguments: Arguments, home: str) -> int:
    engine = open_engine(home)
    reclaim(engine)

    def remove(name: str) -> None:
        if name in PREDEFINED:
            raise ConflictError(f"network {name} is predefined and cannot be removed", reference="predefined")
        try:
            engine.networks.remove(name)
        except NotFoundError:
            if not arguments.flag("force"):
                raise

    return for_each(arguments.operands, remove)


def _prune(arguments: Arguments, home: str) -> int:
    """Docker's: all that were made and that no running container is in."""
    engine = open_engine(home)
    reclaim(engine)
    for network in engine.networks.list():
        if network.name in PREDEFINED or not _wanted(engine.networks, network, arguments.texts("filter")):
            continue
        try:
            engine.networks.remove(network.name)
        except (ConflictError, NotFoundError):  # in use, or removed meanwhile
            continue
        say(f"{network.name}\n")
    return 0


def _connect(arguments: Arguments, home: str) -> int:
    network, container = arguments.operands
    endpoint = Endpoint(network, arguments.texts("alias"), arguments.text("ip"), arguments.text("ip6"))
    open_engine(home).connect(network, container, endpoint)
    return 0


def _disconnect(arguments: Arguments, home: str) -> int:
    network, container = arguments.operands
    open_engine(home).disconnect(network, container)
    return 0


_FILTER = Option(("-f", "--filter"), "only those that fit: name=…, label=…, dangling=true, …", "KEY=VALUE", many=True)

VERBS = {
    "network create": Verb(
        Syntax(
            "create a network whose containers find each other by name",
            "NAME",
            (
                Option(("--attachable",), "for docker's sake: containers can join every network"),
                Option(("-d", "--driver"), "bridge, the only one", "DRIVER"),
                Option(("--gateway",), "address of the host in it", "ADDRESS", many=True),
                Option(("--internal",), "no way out of it"),
                Option(("--ip-range",), "the part of the subnet that addresses are given from", "ADDRESS/LENGTH"),
                Option(("--ipam-driver",), "default, the only one", "DRIVER"),
                Option(("--ipv4",), "with IPv4 addresses (true)"),
                Option(("--ipv6",), "with IPv6 addresses, too"),
                Option(("--label",), "a label", "NAME[=VALUE]", many=True),
                Option(("--mtu",), "greatest packet (the uplink's)", "BYTES"),
                Option(
                    ("-o", "--opt"), "docker's options: mtu=…, com.docker.network.bridge.name=…", "KEY=VALUE", many=True
                ),
                Option(("--scope",), "local, the only one", "SCOPE"),
                Option(("--subnet",), "its addresses (a free range); one more for IPv6", "ADDRESS/LENGTH", many=True),
            ),
        ),
        _create,
    ),
    "network ls": Verb(Syntax("list networks", "", (_FILTER, FORMAT, WHOLE, QUIET)), _list),
    "network inspect": Verb(
        Syntax(
            "print everything about networks, as JSON",
            "NETWORK...",
            (
                Option(("-f", "--format"), "a template such as '{{.IPAM.Config}}'", "FORMAT"),
                Option(("-v", "--verbose"), "for docker's sake: everything is printed anyway"),
            ),
        ),
        _inspect,
    ),
    "network connect": Verb(
        Syntax(
            "have a container be in one more network",
            "NETWORK CONTAINER",
            (
                Option(("--alias",), "a further name in it", "NAME", many=True),
                Option(("--ip",), "its address in it", "ADDRESS"),
                Option(("--ip6",), "its IPv6 address in it", "ADDRESS"),
            ),
        ),
        _connect,
    ),
    "network disconnect": Verb(
        Syntax(
            "have a container leave a network",
            "NETWORK CONTAINER",
            (Option(("-f", "--force"), "for docker's sake: it has to leave anyway"),),
        ),
        _disconnect,
    ),
    "network rm": Verb(
        Syntax("remove networks", "NETWORK...", (Option(("-f", "--force"), "no error if there is none"),)), _remove
    ),
    "network prune": Verb(
        Syntax(
            "remove all networks that no running container is in",
            "",
            (
                Option(("--filter",), "only those that fit: label=…, until=…", "KEY=VALUE", many=True),
                Option(("-f", "--force"), "for docker's sake: nothing is asked anyway"),
            ),
        ),
        _prune,
    ),
}
