"""Serves the registry with gunicorn: threads in one process, or in several, with TLS or without.

Measured on two processors with a blob of 200 MB on loopback: a PUT takes 250 to 330 MB/s, one in chunks 400 to 470 (of
1700 that SHA-256 alone would take), a GET by sendfile(2) more than 2000. A thread waits for each request, so slow
clients hold threads and nothing else; sockets that stand still are closed by the kernel. Called by `sandbox registry
serve`.
"""

from __future__ import annotations

import socket
import ssl
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication

from sandbox.errors import InvalidError
from sandbox.registry.server.application import CALLER
from sandbox.registry.server.regularly import DAILY, collect_regularly

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.registry.server.application import Registry

_LOG_LINE = "%(h)s %({" + CALLER + '}e)s %(t)s "%(r)s" %(s)s %({content-length}o)s %(M)sms "%(a)s"'
_BACKLOG = 512
_KEPT = 75  # seconds for which an idle connection is kept open


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How to serve."""

    certificate: Path | None = None
    key: Path | None = None  # of the certificate; it may be in the same file
    processes: int = 1
    threads: int = 128  # in each process: how many requests are answered at once
    log: bool = True  # a line on standard output for each request
    stalled: int = 60  # seconds without a byte from or to a client, until the connection is closed
    collect_every: float = DAILY  # seconds between garbage collections, 0 for none


def listen(host: str, port: int, stalled: int) -> socket.socket:
    """The socket to serve on. What is set here holds for every connection that comes of it; `stalled` as in Serving.
    Raises InvalidError.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise InvalidError(f"{host!r} is no address of this host: {error.strerror}") from None
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(stalled))
    # Also for a reader that leaves its window shut (tcp(7), and net/ipv4/tcp_timer.c: tcp_probe_timer).
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, stalled * 1000)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise InvalidError(f"{host}:{port} cannot be served: {(error.strerror or str(error)).lower()}") from None
    listener.listen(_BACKLOG)
    listener.set_inheritable(True)
    return listener


def check_certificate(serving: Serving) -> None:
    """Raises InvalidError for files that are no certificate with its key: gunicorn finds out late."""
    if serving.certificate is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(serving.certificate, serving.key)
    except (ssl.SSLError, OSError) as error:
        raise InvalidError(f"{serving.certificate} is no certificate with its key: {error}") from None


def serve(registry: Registry, serving: Serving, listener: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT, and end the process."""
    _Server(registry, serving, listener).run()


class _Server(BaseApplication):  # type: ignore[misc,unused-ignore]
    """gunicorn with our settings in place of its command line and files."""

    def __init__(self, registry: Registry, serving: Serving, listener: socket.socket) -> None:
        self._registry = registry
        self._serving = serving
        self._listener = listener
        super().__init__()

    def load_config(self) -> None:
        serving = self._serving
        settings: dict[str, Any] = {
            "bind": f"fd://{self._listener.fileno()}",
            "worker_class": "gthread",
            "workers": serving.processes,
            "threads": serving.threads,
            "worker_connections": 4 * serving.threads,
            "keepalive": _KEPT,
            "graceful_timeout": 30,
            "control_socket_disable": True,
            "loglevel": "error",  # clients that try https first would be told of, each time
            "accesslog": "-" if serving.log else None,
            "post_worker_init": lambda _: self._collect_regularly(),
            "access_log_format": _LOG_LINE,
        }
        if serving.certificate is not None:
            settings["certfile"] = str(serving.certificate)
            settings["keyfile"] = str(serving.key or serving.certificate)
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Registry:
        return self._registry

    def _collect_regularly(self) -> None:
        if self._serving.collect_every:
            collect_regularly(self._registry, self._serving.collect_every)


def _timeval(seconds: int) -> bytes:
    """`struct timeval`."""
    return struct.pack("@ll", seconds, 0)
