"""`ci-run server`: the web server, with a Valkey and a database of its own where none are named."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from flask import Flask


HELP = "serve webhooks, pages, the API and runners"
_STALLED = 60  # seconds without a byte from or to a client, until the connection is closed


def configure(parser: ArgumentParser) -> None:
    """Declare the verb's arguments: there are none, the server is told all by its environment."""
    parser.epilog = (
        "Settings are environment variables (docs/server.md): HAKO_LISTEN, HAKO_SERVER_URL, HAKO_DATABASE_URL, …"
    )


def run(arguments: Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    del arguments
    from sandbox.registry.server.serving import listen  # noqa: PLC0415
    from sandbox.runtime.overview import default_home  # noqa: PLC0415
    from web import localrunner, settings  # noqa: PLC0415
    from web.application import create_app  # noqa: PLC0415
    from web.services import connect  # noqa: PLC0415
    from web.serving import serve  # noqa: PLC0415

    told = settings.read(os.environ, default_home())
    listener = listen(told.host, told.port, _STALLED)
    if not told.port:  # whichever is free
        told = settings.at_port(told, listener.getsockname()[1])
    first = connect(told)  # whatever is wrong is said here, in one line
    localrunner.prepare(first)
    _say(f"serving {told.server_url}; everything is in {told.folder}")
    first.close()

    def make() -> Flask:
        return create_app(connect(told))

    try:
        serve(make, told, listener)
    finally:
        if first.valkey is not None:
            first.valkey.stop()
    return 0


def _say(text: str) -> None:
    sys.stderr.write(f"ci-run: {text}\n")
    sys.stderr.flush()
