"""Claiming the host's ports that are to lead to a container, and how they are written.

Called by the runtime in the container's supervisor. A claim is a socket on the port that the supervisor keeps: the
kernel gives each port once, to engines and all other programs alike, finds free ones, and takes them back when the
process dies, however it dies. Packets that `rules` translates do not come by these sockets; what does, is forwarded
(`forwarding`).
"""

from __future__ import annotations

import _socket  # the standard library's `socket` without its 3 ms of imports
import errno
import os
from typing import TYPE_CHECKING

from sandbox.errors import ConflictError, InvalidError, SandboxError, UnsupportedError
from sandbox.network.records import Published
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sandbox.network.records import PortRequest

# Kind and protocol of a socket
PROTOCOLS = {"tcp": (_socket.SOCK_STREAM, 0), "udp": (_socket.SOCK_DGRAM, 0), "sctp": (_socket.SOCK_STREAM, 132)}
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what is written for all addresses
EVERYWHERE6 = "::"
_ATTEMPTS = 16
_HINT = "publish it at another port of the host, or end what uses it"


class Claim(NamedTuple):
    """A port that is ours while `socket` is open."""

    port: Published
    socket: _socket.socket

    @property
    def has_ipv6(self) -> bool:
        """Whether it is at an IPv6 address, which rules do not translate, or not all of: nothing is let out of ::1."""
        return ":" in self.port.address


def claim(
    requests: Iterable[PortRequest], holder: Callable[[str, str, int], str], *, ipv6: bool = False
) -> list[Claim]:
    """Claim every port of `requests`, or none; with `ipv6` those without an address at the IPv6 ones, too. `holder`
    names the container that has (protocol, address, port), "" for none.

    Raises `ConflictError` for one that is taken, `InvalidError` for an address that is not the host's.
    """
    claims: list[Claim] = []
    try:
        for request in requests:
            claims += _claim_both(request, holder) if ipv6 and not request.address else [_claim(request, holder)]
    except BaseException:
        for one in claims:
            one.socket.close()
        raise
    return claims


def _claim_both(request: PortRequest, holder: Callable[[str, str, int], str]) -> list[Claim]:
    """The same port at all addresses of IPv4 and of IPv6."""
    for attempt in range(_ATTEMPTS):
        first = _claim(request, holder)
        port = first.port.port
        try:
            return [first, _claim(request._replace(address=EVERYWHERE6, first=port, last=port), holder)]
        except ConflictError:
            first.socket.close()
            if request.last == request.first != 0 or attempt == _ATTEMPTS - 1:
                raise
            if request.first:
                request = request._replace(first=port + 1)
        except BaseException:
            first.socket.close()
            raise
    raise AssertionError("the last attempt raises")


def text(port: Published) -> str:
    """ "0.0.0.0:8080"."""
    return _with_port(port.address or EVERYWHERE, str(port.port))


def _with_port(address: str, port: str) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _claim(request: PortRequest, holder: Callable[[str, str, int], str]) -> Claim:
    problem: OSError | None = None
    for number in range(request.first, request.last + 1):
        try:
            socket = _bind(request.protocol, request.address, number)
        except OSError as error:
            problem = error
            if error.errno != errno.EADDRINUSE:
                break
            continue
        port = socket.getsockname()[1]
        return Claim(Published(request.protocol, request.address, port, request.container), socket)
    assert problem is not None, "a request has a port at least"  # noqa: S101
    raise _refused(request, problem, holder)


def _bind(protocol: str, address: str, number: int) -> _socket.socket:
    family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
    kind, number_of_protocol = PROTOCOLS[protocol]
    socket = _socket.socket(family, kind | _socket.SOCK_CLOEXEC, number_of_protocol)
    try:
        if family == _socket.AF_INET6:
            socket.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 1)
        if protocol == "tcp":
            # Connections of a former server, which the kernel still remembers, are no reason to fail; and listening,
            # for else another who sets this as well could have the port, too
            socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        socket.bind((address or EVERYWHERE, number))
        if protocol == "tcp":
            socket.listen(0)
    except BaseException:
        socket.close()
        raise
    return socket


def _refused(request: PortRequest, error: OSError, holder: Callable[[str, str, int], str]) -> SandboxError:
    ports = f"{request.first}-{request.last}" if request.last > request.first else str(request.first)
    where = _with_port(request.address or EVERYWHERE, ports)
    what = f"bind for {where} failed"
    if error.errno == errno.EADDRINUSE:
        name = holder(request.protocol, request.address, request.first)
        by = f"container {name} publishes it" if name else "another program of this host uses it"
        return ConflictError(f"{what}: port is already allocated", hint=f"{by}; {_HINT}", reference="port-allocated")
    if error.errno == errno.EADDRNOTAVAIL:
        return InvalidError(f"{what}: {request.address} is no address of this host", hint="see `ip address`")
    if error.errno == errno.EPROTONOSUPPORT:
        return UnsupportedError(f"{what}: this host's kernel has no {request.protocol.upper()}", hint="`modprobe sctp`")
    if error.errno in (errno.EACCES, errno.EPERM):
        return SandboxError(
            f"{what}: permission denied", hint="ordinary users publish at ports from 1024 on", reference="port-denied"
        )
    return SandboxError(f"{what}: {os.strerror(error.errno or 0).lower()}")
