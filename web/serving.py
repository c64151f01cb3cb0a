"""Serves the application with gunicorn: a thread for each request, in one process or several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication

from sandbox.registry.server.regularly import collect_regularly
from web.images import EXTENSION as IMAGES

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from flask import Flask

    from web.settings import Settings

_KEPT = 75  # seconds for which an idle connection is kept open
_GRACE = 30  # seconds for requests that are being answered when the server is to end
_LOG_LINE = '%(h)s %(t)s "%(r)s" %(s)s %(b)s %(M)sms'


def serve(make: Callable[[], Flask], settings: Settings, listener: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT. `make` is called in each process: connections are not shared by forks."""
    _Server(make, settings, listener).run()


class _Server(BaseApplication):  # type: ignore[misc,unused-ignore]
    """gunicorn with our settings in place of its command line and files."""

    def __init__(self, make: Callable[[], Flask], settings: Settings, listener: socket.socket) -> None:
        self._make = make
        self._settings = settings
        self._listener = listener
        super().__init__()

    def load_config(self) -> None:
        settings: dict[str, Any] = {
            "bind": f"fd://{self._listener.fileno()}",
            "worker_class": "gthread",
            "workers": self._settings.processes,
            "threads": self._settings.threads,
            "worker_connections": 4 * self._settings.threads,
            "keepalive": _KEPT,
            "graceful_timeout": _GRACE,
            "control_socket_disable": True,
            "loglevel": "warning",
            "accesslog": "-",
            "access_log_format": _LOG_LINE,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        app = self._make()
        collect_regularly(app.extensions[IMAGES].registry)
        return app
