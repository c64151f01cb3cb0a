"""`ci-run secret`: a repository's secrets on the server. A value is asked for, or comes from a file or by a pipe."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci.cli import api
from ci.cli.asking import secret
from ci.cli.table import write

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

HELP = "secrets of a repository on the server"


def configure(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    ls = verbs.add_parser("ls", help="list their names and limits")
    put = verbs.add_parser("set", help="add one, or give it another value")
    rm = verbs.add_parser("rm", help="remove one")
    for one in (ls, put, rm):
        one.add_argument("repository", metavar="REPOSITORY", help="owner/name")
    for one in (put, rm):
        one.add_argument("name", metavar="NAME")
    ls.add_argument("--json", action="store_true", help="print JSON")
    put.add_argument("--file", type=Path, metavar="FILE", help="the value is what a file holds")
    put.add_argument("--event", action="append", metavar="EVENT", help="only for this event; again for more")
    put.add_argument("--branch", action="append", default=[], metavar="PATTERN", help="only on such branches")
    put.add_argument("--image", action="append", default=[], metavar="IMAGE", help="only for plugins of this image")


def run(arguments: Namespace) -> int:
    """Do it; returns the exit code."""
    server = api.server()
    where = ("repos", arguments.repository, "secrets")
    if arguments.action == "ls":
        found = server.get(*where)
        rows = [(one["name"], *(", ".join(one[what]) for what in ("events", "branches", "images"))) for one in found]
        write(found, as_json=arguments.json, heads=("NAME", "EVENTS", "BRANCHES", "IMAGES"), rows=rows)
    elif arguments.action == "rm":
        server.send("DELETE", *where, arguments.name)
    else:
        body: dict[str, Any] = {"value": _value(arguments), "branches": arguments.branch, "images": arguments.image}
        if arguments.event:
            body["events"] = arguments.event
        server.send("PUT", *where, arguments.name, body=body)
    return 0


def _value(arguments: Namespace) -> str:
    if arguments.file is not None:
        return str(arguments.file.read_text("utf-8", "surrogateescape"))
    if not sys.stdin.isatty():
        return sys.stdin.read().rstrip("\n")
    return secret(f"Value of {arguments.name}: ")
