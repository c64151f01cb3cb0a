"""`ci-run node`: the hosts that may run builds, each with a token. Works on the server's database, on its host."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

HELP = "add, list and remove runners"


def configure(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="add|ls|rm")
    for verb, words in (("add", "make a runner's token, shown this once"), ("rm", "take a runner's rights away")):
        verbs.add_parser(verb, help=words, description=words).add_argument("name")
    verbs.add_parser("ls", help="list them", description="list them")


def run(arguments: Namespace) -> int:
    """Do it on the tables."""
    import time  # noqa: PLC0415

    from ci.store import runners  # noqa: PLC0415
    from ci.store.database import Database  # noqa: PLC0415
    from sandbox.runtime.overview import default_home  # noqa: PLC0415
    from web import settings  # noqa: PLC0415

    database = Database(settings.read(os.environ, default_home()).database_url)
    try:
        database.migrate()
        if arguments.verb == "ls":
            with database.read() as connection:
                for one in runners.every(connection):
                    seen = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.seen)) if one.seen else "never"
                    labels = ",".join(f"{key}={value}" for key, value in one.labels.items()) or "-"
                    sys.stdout.write(f"{one.name:<24} {seen:<20} {labels}\n")
            return 0
        with database.write() as connection:
            if arguments.verb == "add":
                sys.stdout.write(f"{runners.add(connection, arguments.name, time.time()).text}\n")
            else:
                runners.remove(connection, arguments.name)
    finally:
        database.close()
    return 0
