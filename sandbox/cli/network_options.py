"""The options of `run` and `create` about networks: which ones, names, addresses, published ports, resolvers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.cli import values
from sandbox.cli.options import Option, UsageError
from sandbox.runtime.spec import Dns

if TYPE_CHECKING:
    from sandbox.cli.options import Arguments

OPTIONS = (
    Option(("--net", "--network"), "bridge, none, host, container:NAME or a network by name (bridge)", "NETWORK"),
    Option(("--net-alias", "--network-alias"), "a further name in its network", "NAME", many=True),
    Option(("--ip",), "its address in its network", "ADDRESS"),
    Option(("--ip6",), "its IPv6 address in its network", "ADDRESS"),
    Option(("--mac-address",), "the hardware address of its interface there", "ADDRESS"),
    Option(
        ("--link",),
        "a further name for a running container; names of networks are better",
        "CONTAINER[:NAME]",
        many=True,
    ),
    Option(("-p", "--publish"), "have a port of the host lead to the container's", "[[ADDRESS:]HOST:]PORT", many=True),
    Option(("-P", "--publish-all"), "publish every port that the image exposes, at ports that are free"),
    Option(("--expose",), "a port that --publish-all publishes, too", "PORT[/udp]", many=True),
    Option(("--add-host",), "a line for /etc/hosts; host-gateway is the host", "NAME:ADDRESS", many=True),
    Option(("--dns",), "a server for names instead of the host's", "ADDRESS", many=True),
    Option(("--dns-search",), "a domain that names are tried in, . for none", "DOMAIN", many=True),
    Option(("--dns-opt", "--dns-option"), "an option for resolv.conf", "OPTION", many=True),
)


def fields(arguments: Arguments) -> dict[str, Any]:
    """Fields of ContainerSpec. Raises UsageError."""
    found: dict[str, Any] = {
        "network": arguments.text("network") or "bridge",
        "aliases": arguments.texts("network-alias"),
        "address": arguments.text("ip"),
        "address6": arguments.text("ip6"),
        "mac": _mac(arguments.text("mac-address")),
        "extra_hosts": tuple(values.host(text, "--add-host") for text in arguments.texts("add-host")),
        "dns": _dns(arguments),
        "publish_all": arguments.flag("publish-all"),
    }
    if arguments.texts("publish") or arguments.texts("expose"):
        from sandbox.cli import publish  # noqa: PLC0415  (few lines publish ports)

        found["ports"] = publish.ports(arguments)
        found["exposed"] = tuple(
            port for text in arguments.texts("expose") for port in publish.expose(text, "--expose")
        )
    return found


def _mac(text: str) -> str:
    """A hardware address of one station: six pairs of hexadecimal digits."""
    pairs = text.lower().replace("-", ":").split(":")
    digits = frozenset("0123456789abcdef")
    if text and (len(pairs) != 6 or any(len(pair) != 2 or not digits.issuperset(pair) for pair in pairs)):
        raise UsageError(f"--mac-address {text!r} is no hardware address", hint="such as 02:42:ac:11:00:02")
    if text and (int(pairs[0], 16) & 1 or set(pairs) == {"00"}):
        raise UsageError(f"--mac-address {text} stands for several stations", hint="such as 02:42:ac:11:00:02")
    return ":".join(pairs)


def _dns(arguments: Arguments) -> Dns:
    servers, search, options = (arguments.texts(key) for key in ("dns", "dns-search", "dns-option"))
    for option, words in (("--dns-search", search), ("--dns-option", options)):
        for word in words:
            if not word or any(char.isspace() or not char.isprintable() for char in word):
                raise UsageError(f"{option} {word!r} is not one word")
    return Dns(tuple(values.address(text, "--dns") for text in servers), search, options)
