"""`ci-run user`: accounts of the server on this host, for its first administrator and for who has lost a password.

Works on the database, whether the server runs or not. A password is asked for, or read from standard input; it is never
an argument, which every process of the host could read.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from ci.cli.asking import secret
from ci.cli.table import table
from ci.errors import CiError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    import sqlalchemy as sql

    from ci.store.users import User

HELP = "accounts of the server on this host"


def configure(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    verbs.add_parser("ls", help="list the accounts")
    add = verbs.add_parser("add", help="add a local account; its password is asked for")
    add.add_argument("--admin", action="store_true", help="an administrator of the server")
    password = verbs.add_parser("password", help="give a local account another password, and end its sessions")
    for one in (add, password):
        one.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    token = verbs.add_parser("token", help="print a new API token of an account")
    token.add_argument("--name", default="made by ci-run user", help="what it is called")
    promote = verbs.add_parser("promote", help="make an account an administrator of the server")
    demote = verbs.add_parser("demote", help="make an administrator an ordinary account")
    lock = verbs.add_parser("lock", help="keep an account out, and end its sessions")
    unlock = verbs.add_parser("unlock", help="let an account in again")
    for one in (add, password, token, promote, demote, lock, unlock):
        one.add_argument("login", metavar="NAME")
    for one in (token, promote, demote, lock, unlock):
        one.add_argument("--forge", default="", metavar="URL", help="whose account it is, for one of a forge")


def run(arguments: Namespace) -> int:
    """Do it; returns the exit code."""
    from ci.access import passwords  # noqa: PLC0415  (the database's library takes longer to load than --help may)
    from sandbox.runtime.overview import default_home  # noqa: PLC0415
    from web import settings  # noqa: PLC0415
    from web.services import open_database  # noqa: PLC0415

    kept = ""
    if arguments.action in ("add", "password"):
        kept = passwords.keep(_password(arguments))
    database = open_database(settings.read(os.environ, default_home()))
    try:
        with database.write() as connection:
            said = _do(connection, arguments, kept)
        sys.stdout.write(said)  # what it speaks of is in force now
    finally:
        database.close()
    return 0


def _do(connection: sql.Connection, arguments: Namespace, password: str) -> str:
    """What is to be printed."""
    from ci.access.roles import Role  # noqa: PLC0415
    from ci.store import sessions, tokens, users  # noqa: PLC0415
    from ci.store.users import User  # noqa: PLC0415

    if arguments.action == "ls":
        return _table(users.every(connection))
    if arguments.action == "add":
        users.add(
            connection, User(login=arguments.login, password=password, admin=arguments.admin, created=time.time())
        )
        return ""
    user = users.find(connection, arguments.login, forge_url=getattr(arguments, "forge", "").rstrip("/"))
    if arguments.action == "token":
        return tokens.make(connection, user.id, arguments.name, Role.ADMIN, time.time())[1].text + "\n"
    _change(connection, user, arguments.action, password)
    if arguments.action in ("password", "lock"):
        sessions.end_all(connection, user.id)
    return ""


def _change(connection: sql.Connection, user: User, action: str, password: str) -> None:
    from ci.store import users  # noqa: PLC0415

    changes: dict[str, dict[str, object]] = {
        "password": {"password": password},
        "promote": {"admin": True},
        "demote": {"admin": False},
        "lock": {"active": False},
        "unlock": {"active": True},
    }
    users.update(connection, user.id, **changes[action])


def _password(arguments: Namespace) -> str:
    password = secret(f"Password of {arguments.login}: ", from_stdin=arguments.password_stdin)
    again = arguments.password_stdin or not sys.stdin.isatty() or secret("Once more: ") == password
    if not again:
        raise CiError("the two passwords are not the same", reference="bad-password")
    return password


def _table(accounts: tuple[User, ...]) -> str:
    rows = []
    for user in accounts:
        what = [word for word, holds in (("admin", user.admin), ("locked", not user.active)) if holds]
        rows.append((user.login, user.forge_url or "this server", ", ".join(what)))
    return table(("NAME", "OF", "IS"), rows)
