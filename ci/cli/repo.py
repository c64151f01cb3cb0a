"""`ci-run repo`: the repositories that the server builds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ci.cli import api
from ci.cli.asking import secret
from ci.cli.table import write
from ci.errors import CiError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

HELP = "repositories of the server"
_SWITCHES = ("active", "private", "trusted")


def configure(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    ls = verbs.add_parser("ls", help="list those that you may see")
    ls.add_argument("words", nargs="*", metavar="WORD", help="that their names have")
    show = verbs.add_parser("show", help="show one, with its settings")
    add = verbs.add_parser("add", help="build one from now on")
    change = verbs.add_parser("set", help="change one")
    hook = verbs.add_parser("hook", help="show what its forge has to be told of the webhook")
    hook.add_argument("--renew", action="store_true", help="with a new secret; the former is good for the time being")
    token = verbs.add_parser("token", help="give the forge's token for it, which is asked for")
    for one in (show, add, change, hook, token):
        one.add_argument("name", metavar="NAME", help="owner/name")
    add.add_argument("--clone-url", required=True, metavar="URL", help="where it is fetched from")
    add.add_argument("--forge", choices=("github", "gitea", "forgejo", "gitlab", "git"), default="git", help="its kind")
    add.add_argument("--forge-url", default="", metavar="URL", help="https://github.com")
    add.add_argument("--forge-id", default="", metavar="ID", help="what the forge calls it by, whatever its name")
    add.add_argument("--branch", default="main", help="its default branch")
    add.add_argument("--public", action="store_true", help="everybody may see its builds")
    change.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="settings, in JSON; KEY= takes one away")
    change.add_argument("--branch", help="its default branch")
    change.add_argument("--clone-url", metavar="URL", help="where it is fetched from")
    for word in _SWITCHES:
        change.add_argument(f"--{word}", choices=("yes", "no"), help=f"whether it is {word}")
    for one in (ls, show, add, change, hook):
        one.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: Namespace) -> int:
    """Do it; returns the exit code."""
    server = api.server()
    if arguments.action == "ls":
        found = server.get("repos", q=" ".join(arguments.words))
        _list(found, as_json=arguments.json)
        return 0
    if arguments.action == "token":
        server.send("PUT", "repos", arguments.name, "token", body={"token": secret(f"Token for {arguments.name}: ")})
        return 0
    if arguments.action == "hook":
        found = server.send("POST" if arguments.renew else "GET", "repos", arguments.name, "hook")
    elif arguments.action == "show":
        found = server.get("repos", arguments.name)
    elif arguments.action == "add":
        found = server.send("POST", "repos", body=_new(arguments))
    else:
        found = server.send("PATCH", "repos", arguments.name, body=_changes(arguments))
    write(found, as_json=arguments.json, heads=("KEY", "VALUE"), rows=[(key, _text(found[key])) for key in found])
    return 0


def _list(found: list[dict[str, Any]], *, as_json: bool) -> None:
    rows = []
    for one in found:
        marks = [word for word in ("private", "trusted") if one[word]] + ([] if one["active"] else ["not active"])
        rows.append((one["name"], one["forge_url"] or one["forge"], one["role"], ", ".join(marks)))
    write(found, as_json=as_json, heads=("NAME", "FORGE", "ROLE", "IS"), rows=rows)


def _new(arguments: Namespace) -> dict[str, Any]:
    return {
        "name": arguments.name,
        "clone_url": arguments.clone_url,
        "forge": arguments.forge,
        "forge_url": arguments.forge_url,
        "forge_id": arguments.forge_id,
        "default_branch": arguments.branch,
        "private": not arguments.public,
    }


def _changes(arguments: Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {
        word: getattr(arguments, word) == "yes" for word in _SWITCHES if getattr(arguments, word) is not None
    }
    if arguments.branch is not None:
        found["default_branch"] = arguments.branch
    if arguments.clone_url is not None:
        found["clone_url"] = arguments.clone_url
    if arguments.settings:
        found["settings"] = dict(_setting(text) for text in arguments.settings)
    if not found:
        raise CiError("nothing is to be changed", hint="`ci-run repo set --help` shows what can be", reference="usage")
    return found


def _setting(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise CiError(f"{text!r} is not KEY=VALUE", reference="usage")
    if not value:
        return key, None
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value  # a word


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
