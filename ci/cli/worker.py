"""`ci-run worker`: does what webhooks, schedules and people have asked the server for."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from ci.errors import CiError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

HELP = "handle webhooks, schedules and lost runners, beside the server"


def configure(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.epilog = "Settings are environment variables, the same as the server's (docs/server.md)."
    parser.add_argument("--threads", type=int, default=4, help="how many events are handled at once (%(default)s)")


def run(arguments: Namespace) -> int:
    """Work until SIGTERM or SIGINT."""
    from sandbox.runtime.overview import default_home  # noqa: PLC0415
    from web import settings  # noqa: PLC0415
    from web.application import create_app  # noqa: PLC0415
    from web.services import connect  # noqa: PLC0415
    from web.working import work  # noqa: PLC0415

    if not 1 <= arguments.threads <= 100:
        raise CiError(f"{arguments.threads} threads cannot be", hint="1 to 100", reference="usage")
    services = connect(settings.read(os.environ, default_home()))
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    sys.stderr.write("ci-run: working\n")
    sys.stderr.flush()
    try:
        work(create_app(services), services, threads=arguments.threads, stopped=stopped)
    finally:
        services.close()
        if services.valkey is not None:
            services.valkey.stop()
    return 0
