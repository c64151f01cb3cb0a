"""`sandbox commit`, `diff` and `export`: images and archives of what containers have become."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandbox.cli.archives import CHANGE, written
from sandbox.cli.options import Option, Syntax, Verb
from sandbox.cli.output import say
from sandbox.cli.session import open_engine
from sandbox.cli.table import printable

if TYPE_CHECKING:
    from sandbox.cli.options import Arguments


def _commit(arguments: Arguments, home: str) -> int:
    container, *names = arguments.operands
    engine = open_engine(home)
    engine.images.reclaim_if_any()
    image = engine.commit(
        container,
        name=names[0] if names else "",
        changes=arguments.texts("change"),
        author=arguments.text("author"),
        comment=arguments.text("message"),
        pause=arguments.flag("pause", default=True),
    )
    say(f"{image.id}\n")
    return 0


def _diff(arguments: Arguments, home: str) -> int:
    engine = open_engine(home)
    shown = printable if os.isatty(1) else str  # programs get the names as they are
    say("".join(f"{change.kind} {shown(change.path)}\n" for change in engine.changes(arguments.operands[0])))
    return 0


def _export(arguments: Arguments, home: str) -> int:
    from sandbox.image.tarwriter import TarWriter  # noqa: PLC0415

    tree = open_engine(home).export(arguments.operands[0])
    with written(arguments.text("output")) as write:
        writer = TarWriter(write)
        for entry, data in tree:
            writer.add(entry, data())
        writer.close()
    return 0


VERBS = {
    "commit": Verb(
        Syntax(
            "make an image of a container",
            "CONTAINER [NAME[:TAG]]",
            (
                Option(("-a", "--author"), "who made it", "TEXT"),
                CHANGE,
                Option(("-m", "--message"), "a comment for the image's history", "TEXT"),
                Option(("-p", "--pause"), "freeze the container meanwhile (default true)"),
            ),
        ),
        _commit,
    ),
    "diff": Verb(Syntax("list what a container has added (A), changed (C) and deleted (D)", "CONTAINER"), _diff),
    "export": Verb(
        Syntax(
            "write a container's files to an archive",
            "CONTAINER",
            (Option(("-o", "--output"), "the file (default: standard output)", "PATH"),),
        ),
        _export,
    ),
}
