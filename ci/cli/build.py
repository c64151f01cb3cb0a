"""`ci-run build`: builds on the server."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from ci.cli import api
from ci.cli.table import ago, table, write

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

HELP = "builds on the server"


def configure(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    ls = verbs.add_parser("ls", help="list a repository's, the newest first")
    show = verbs.add_parser("show", help="show one, with its stages and steps")
    cancel = verbs.add_parser("cancel", help="end one")
    approve = verbs.add_parser("approve", help="let one run that waits for it")
    decline = verbs.add_parser("decline", help="do not let it run")
    restart = verbs.add_parser("restart", help="begin one again, under its number")
    again = verbs.add_parser("again", help="make another one of the same event, with a number of its own")
    promote = verbs.add_parser("promote", help="deploy what one has made")
    rollback = verbs.add_parser("rollback", help="deploy what an earlier one has made")
    for one in (promote, rollback):
        one.add_argument("--task", default="", help="what the pipeline is told of it")
    decisions = (cancel, approve, decline, restart, again, promote, rollback)
    for one in (ls, show, *decisions):
        one.add_argument("repository", metavar="REPOSITORY", help="owner/name")
        one.add_argument("--json", action="store_true", help="print JSON")
    for one in (show, *decisions):
        one.add_argument("number", metavar="NUMBER", type=int)
    for one in (promote, rollback):
        one.add_argument("target", metavar="TARGET", help="where to: production")
    for word in ("branch", "event", "state", "author"):
        ls.add_argument(f"--{word}", default="", help=f"only those of this {word}")
    ls.add_argument("--limit", type=int, default=20, help="how many at most (20)")
    ls.add_argument("--before", type=int, default=0, metavar="NUMBER", help="only those below a number")


def run(arguments: Namespace) -> int:
    """Do it; returns the exit code."""
    server = api.server()
    if arguments.action == "ls":
        query = {word: getattr(arguments, word) for word in ("branch", "event", "state", "author")}
        before = str(arguments.before or "")
        found = server.get("repos", arguments.repository, "builds", limit=str(arguments.limit), before=before, **query)
        rows = [_row(one) for one in found]
        write(
            found,
            as_json=arguments.json,
            heads=("BUILD", "STATE", "EVENT", "BRANCH", "COMMIT", "BY", "MADE", "TITLE"),
            rows=rows,
        )
        return 0
    where = ("repos", arguments.repository, "builds", str(arguments.number))
    if arguments.action == "show":
        found = server.get(*where)
    elif arguments.action in ("promote", "rollback"):
        rollback = arguments.action == "rollback"
        body = {"target": arguments.target, "task": arguments.task, "rollback": rollback}
        found = server.send("POST", *where, "deploy", body=body)
    else:
        found = server.send("POST", *where, arguments.action)
    if arguments.json:
        json.dump(found, sys.stdout, ensure_ascii=False, indent=2)
        sys.stdout.write("\n")
    else:
        sys.stdout.write(_shown(arguments.repository, found))
    return 0


def _row(build: dict[str, Any]) -> tuple[str, ...]:
    branch = f"PR {build['pull_request']}" if build["pull_request"] else build["branch"]
    return (
        str(build["number"]),
        build["state"],
        build["event"],
        branch or build["ref"].removeprefix("refs/tags/"),
        build["commit"][:8],
        build["author"],
        ago(build["created"]),
        build["title"],
    )


def _shown(repository: str, build: dict[str, Any]) -> str:
    facts = [
        ("build", f"{repository} {build['number']}"),
        ("state", build["state"]),
        ("event", f"{build['event']} {build['ref']}"),
        ("commit", build["commit"]),
        ("by", build["author"]),
        ("title", build["title"]),
        ("error", build["error"]),
    ]
    lines = table(("", ""), [(key, value) for key, value in facts if value]).partition("\n")[2]
    for one in build["diagnostics"]:
        lines += f"  {one['file']}:{one['line']}:{one['column']}: {one['message']}\n"
    rows = []
    for stage in build["stages"]:
        cell = ",".join(f"{key}={value}" for key, value in stage["matrix"].items())
        rows.append((f"{stage['name']} {cell}".strip(), stage["state"], _took(stage), stage["error"]))
        rows += [
            (f"  {step['name']}", step["state"], _took(step), step["error"] or _code(step)) for step in stage["steps"]
        ]
    return lines + (table(("STAGE / STEP", "STATE", "TOOK", ""), rows) if rows else "")


def _took(part: dict[str, Any]) -> str:
    return f"{part['finished'] - part['started']:.1f} s" if part["started"] and part["finished"] else ""


def _code(step: dict[str, Any]) -> str:
    return f"exit code {step['exit_code']}" if step["exit_code"] else ""
