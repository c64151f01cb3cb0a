"""`EXPOSE`: `80`, `80/udp`, `8000-8010`; and the host's address and port before it, which are accepted and mean
nothing.
"""

from __future__ import annotations

_PROTOCOLS = ("tcp", "udp", "sctp")


class PortError(ValueError):
    """No port, no range, or no protocol."""


def split_port(text: str) -> tuple[str, str, str]:
    """(host part, port or range, protocol as written)."""
    host, _, container = text.rpartition(":")
    port, _, protocol = container.partition("/")
    return host, port, protocol


def expose(text: str) -> list[str]:
    """Every port as `80/tcp`. PortError names the text."""
    _, port, protocol = split_port(text)
    protocol = protocol.lower() or "tcp"
    if protocol not in _PROTOCOLS:
        raise PortError(f"invalid protocol in EXPOSE {text!r}: it is one of {', '.join(_PROTOCOLS)}")
    first, dash, last = port.partition("-")
    numbers = [_number(first, text), _number(last, text) if dash else _number(first, text)]
    if numbers[1] < numbers[0]:
        raise PortError(f"invalid range in EXPOSE {text!r}")
    return [f"{number}/{protocol}" for number in range(numbers[0], numbers[1] + 1)]


def _number(text: str, whole: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) <= 65535):
        raise PortError(f"invalid port in EXPOSE {whole!r}")
    return int(text)
