"""`sandbox registry gc`, `ls` and `passwd`: what is done to a registry's directory, beside servers that use it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.cli.options import Option, Syntax, UsageError, Verb
from sandbox.cli.output import say
from sandbox.cli.session import state_directory
from sandbox.errors import NotFoundError

if TYPE_CHECKING:
    from sandbox.cli.options import Arguments

STORAGE = Option(("--storage",), "directory of the registry ($HAKO_HOME/registry)", "DIR")


def storage(arguments: Arguments, home: str) -> Path:
    """The directory of the registry; it need not be there."""
    given = arguments.text("storage")
    return Path(given).absolute() if given else state_directory(home) / "registry"


def _collect(arguments: Arguments, home: str) -> int:
    from sandbox.cli.moments import length  # noqa: PLC0415  (brings regular expressions)
    from sandbox.cli.table import size  # noqa: PLC0415
    from sandbox.registry.server.application import Registry  # noqa: PLC0415  (brings werkzeug)
    from sandbox.registry.server.limits import Limits  # noqa: PLC0415

    limits = Limits()
    if arguments.given("grace"):
        limits = replace(limits, grace=length(arguments.text("grace"), "--grace"))
    untagged = length(arguments.text("untagged"), "--untagged") if arguments.given("untagged") else None
    trial = arguments.flag("dry-run")
    done = Registry(_existing(arguments, home), limits=limits).collect(untagged=untagged, trial=trial)
    would = "would delete" if trial else "deleted"
    say(
        f"{would} {done.blobs} blobs ({size(done.size)}), {done.links} blobs of single repositories,"
        f" {done.manifests} manifests, {done.uploads} uploads\n"
    )
    return 0


def _list(arguments: Arguments, home: str) -> int:
    from sandbox.cli.table import table  # noqa: PLC0415
    from sandbox.registry.server.application import Registry  # noqa: PLC0415  (brings werkzeug)

    registry = Registry(_existing(arguments, home))
    wanted = arguments.operands[0] if arguments.operands else ""
    rows = [
        (name, tag, digest if arguments.flag("no-trunc") else digest.short, media_type)
        for name, tag, digest, media_type in registry.contents(wanted)
    ]
    if wanted and not rows:
        raise NotFoundError(f"the registry has no repository {wanted!r}")
    if arguments.text("format") == "json":
        keys = ("Repository", "Tag", "Digest", "MediaType")
        say("".join(json.dumps(dict(zip(keys, row, strict=True))) + "\n" for row in rows))
    else:
        say(table(("REPOSITORY", "TAG", "DIGEST", "TYPE"), rows))
    return 0


def _existing(arguments: Arguments, home: str) -> Path:
    path = storage(arguments, home)
    if not path.is_dir():
        raise NotFoundError(f"there is no registry in {str(path)!r}", hint="say where with --storage")
    return path


def _password(arguments: Arguments, home: str) -> int:  # noqa: ARG001
    from getpass import getpass  # noqa: PLC0415

    from sandbox.registry.server.htpasswd import entry  # noqa: PLC0415  (brings bcrypt)

    if sys.stdin.isatty():
        password = getpass("Password: ")
        if getpass("Again: ") != password:
            raise UsageError("the passwords differ")
    else:
        password = sys.stdin.readline().rstrip("\n")
    say(f"{entry(arguments.operands[0], password)}\n")
    return 0


collect = Verb(
    Syntax(
        "delete what nothing refers to any more; servers may go on",
        "",
        (
            STORAGE,
            Option(("--grace",), "keep blobs that were pushed or asked for within this time (24h)", "TIME"),
            Option(("--untagged",), "also delete manifests that no tag leads to and that are older than this", "TIME"),
            Option(("--dry-run",), "only say what would go"),
        ),
    ),
    _collect,
)
listing = Verb(
    Syntax(
        "list repositories with their tags",
        "[REPOSITORY]",
        (STORAGE, Option(("--format",), "table, or json", "FORMAT"), Option(("--no-trunc",), "shorten nothing")),
    ),
    _list,
)
credentials = Verb(
    Syntax("print an entry for --htpasswd; the password comes from standard input", "ACCOUNT"), _password
)
