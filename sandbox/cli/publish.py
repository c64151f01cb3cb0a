"""Published ports as people write them, `-p [ADDRESS:][HOST:]PORT[/PROTOCOL]` with ranges, and `sandbox port`.

Docker's notation (docker/go-connections, `nat`), also its long form `target=80,published=8080,protocol=tcp`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.cli.options import Syntax, UsageError, Verb
from sandbox.network.records import PortRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.cli.options import Arguments
    from sandbox.network.records import Published

_PROTOCOLS = ("tcp", "udp", "sctp")
_HINT = "such as 8080:80, 127.0.0.1:8080:80, 53:53/udp, 8000-8010:8000-8010, or 80 for any port of the host"
_LARGEST = 65535


def publish(text: str, option: str) -> tuple[PortRequest, ...]:
    """The ports of one option."""
    if "=" in text:
        text = _long(text, option)
    rest, _, protocol = text.partition("/")
    address, host, container = _parts(rest, f"{option} {text!r}")
    protocol = _protocol(protocol, f"{option} {text!r}") if "/" in text else "tcp"
    first, last = _range(container, f"{option} {text!r}")
    if first == 0:
        raise UsageError(f"{option} {text!r}: invalid port of the container: 0", hint=_HINT)
    inside = range(first, last + 1)
    if host in ("", "0"):
        return tuple(PortRequest(port, protocol, address) for port in inside)
    outside, outside_last = _range(host, f"{option} {text!r}")
    if len(inside) == 1:
        return (PortRequest(first, protocol, address, outside, outside_last),)
    if len(inside) != outside_last - outside + 1:
        raise UsageError(f"{option} {text!r}: the ranges {host} and {container} differ in length", hint=_HINT)
    return tuple(
        PortRequest(port, protocol, address, outside + index, outside + index) for index, port in enumerate(inside)
    )


def expose(text: str, option: str) -> tuple[str, ...]:
    """`80`, `80/udp` or `80-90` as "80/tcp"…"""
    rest, slash, protocol = text.partition("/")
    first, last = _range(rest, f"{option} {text!r}")
    protocol = _protocol(protocol, f"{option} {text!r}") if slash else "tcp"
    return tuple(f"{port}/{protocol}" for port in range(first, last + 1))


def ports(arguments: Arguments) -> tuple[PortRequest, ...]:
    """All of a line."""
    return tuple(port for text in arguments.texts("publish") for port in publish(text, "--publish"))


def summary(published: Iterable[Published]) -> str:
    """`0.0.0.0:8080->80/tcp, …`, as `ps` has it; neighbours of a range are drawn together."""
    parts: list[tuple[str, str, int, int, int]] = []  # address, protocol, first port outside and inside, how many
    for port in sorted(published, key=lambda one: (one.address, one.protocol, one.container, one.port)):
        address = port.address or "0.0.0.0"  # noqa: S104
        if parts:
            last_address, protocol, outside, inside, count = parts[-1]
            if (last_address, protocol) == (address, port.protocol) and (outside + count, inside + count) == (
                port.port,
                port.container,
            ):
                parts[-1] = (address, protocol, outside, inside, count + 1)
                continue
        parts.append((address, port.protocol, port.port, port.container, 1))
    return ", ".join(
        f"{_with_port(address, _span(outside, count))}->{_span(inside, count)}/{protocol}"
        for address, protocol, outside, inside, count in parts
    )


def _span(first: int, count: int) -> str:
    return str(first) if count == 1 else f"{first}-{first + count - 1}"


def _with_port(address: str, port: str) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _long(text: str, option: str) -> str:
    fields = {}
    for word in text.split(","):
        key, _, value = word.partition("=")
        if key not in ("target", "published", "protocol", "mode"):
            raise UsageError(f"{option} {text!r}: unknown field {key!r}", hint="target, published, protocol")
        fields[key] = value
    head = f"{fields['published']}:" if fields.get("published") else ""
    return f"{head}{fields.get('target', '')}/{fields.get('protocol', 'tcp')}"


def _parts(text: str, what: str) -> tuple[str, str, str]:
    """(address, host's ports, container's ports)."""
    address = ""
    if text.startswith("["):
        address, bracket, text = text[1:].partition("]:")
        if not bracket:
            raise UsageError(f"{what}: the bracket of the address is not closed", hint=_HINT)
        host, _, container = text.rpartition(":")
    else:
        words = text.split(":")
        if len(words) > 3:
            raise UsageError(f"{what} is not [[ADDRESS:]HOST:]PORT", hint=f"{_HINT}; IPv6 in brackets")
        *front, container = words
        host = front.pop() if front else ""
        address = front.pop() if front else ""
    if address:
        address = _address(address, what)
    return address, host, container


def _address(text: str, what: str) -> str:
    import ipaddress  # noqa: PLC0415  (a millisecond that few lines need)

    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        raise UsageError(f"{what}: {text!r} is no address", hint=_HINT) from None
    return "" if found == ipaddress.IPv4Address(0) else str(found)


def _protocol(text: str, what: str) -> str:
    if text.lower() not in _PROTOCOLS:
        raise UsageError(f"{what}: unknown protocol {text!r}", hint="tcp, udp or sctp")
    return text.lower()


def _range(text: str, what: str) -> tuple[int, int]:
    head, dash, tail = text.partition("-")
    numbers = []
    for word in (head, tail if dash else head):
        if not (word.isascii() and word.isdigit() and len(word) <= 5 and int(word) <= _LARGEST):
            raise UsageError(f"{what}: invalid port {text!r}", hint=_HINT)
        numbers.append(int(word))
    if numbers[0] > numbers[1]:
        raise UsageError(f"{what}: the range {text!r} ends before it begins", hint=_HINT)
    return numbers[0], numbers[1]


def _port(arguments: Arguments, home: str) -> int:
    from sandbox.cli.output import say  # noqa: PLC0415  (only the verb prints)
    from sandbox.cli.session import open_engine  # noqa: PLC0415
    from sandbox.errors import NotFoundError  # noqa: PLC0415

    name, *asked = arguments.operands
    found = [port for one in open_engine(home).state(name).attachments for port in one.ports]
    found.sort(key=lambda port: (port.container, port.protocol, port.address, port.port))
    if not asked:
        say("".join(f"{port.container}/{port.protocol} -> {_where(port)}\n" for port in found))
        return 0
    number, slash, protocol = asked[0].partition("/")
    wanted = (_range(number, f"port {asked[0]!r}")[0], _protocol(protocol, f"port {asked[0]!r}") if slash else "tcp")
    found = [port for port in found if (port.container, port.protocol) == wanted]
    if not found:
        raise NotFoundError(
            f"no public port '{wanted[0]}/{wanted[1]}' published for {name}",
            hint="-p publishes one when a container is made",
            exit_code=1,
        )
    say("".join(f"{_where(port)}\n" for port in found))
    return 0


def _where(port: Published) -> str:
    return _with_port(port.address or "0.0.0.0", str(port.port))  # noqa: S104


VERBS = {"port": Verb(Syntax("print the host's ports that lead to a container", "CONTAINER [PORT[/PROTOCOL]]"), _port)}
