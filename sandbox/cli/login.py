"""`sandbox login` and `logout`: who we are at a registry, kept where docker keeps it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from sandbox.cli.options import Option, Syntax, UsageError, Verb
from sandbox.cli.output import say, tell
from sandbox.cli.pull import TLS_VERIFY
from sandbox.cli.session import state_directory
from sandbox.errors import InvalidError

if TYPE_CHECKING:
    from sandbox.cli.options import Arguments

_SECRET_LIMIT = 1 << 20  # bytes


def _login(arguments: Arguments, home: str) -> int:
    from sandbox.registry.client.dockerconfig import Credential  # noqa: PLC0415
    from sandbox.registry.client.session import Session  # noqa: PLC0415

    domain = _domain(arguments)
    given = arguments.given("password"), arguments.flag("password-stdin")
    if all(given):
        raise UsageError("--password and --password-stdin contradict each other", hint="leave one out")
    if given[1] and not arguments.given("username"):
        raise UsageError("--password-stdin needs --username")
    with Session(state_directory(home), verify=arguments.flag("tls-verify", default=True)) as session:
        username = arguments.text("username") or _asked("Username: ", hidden=False)
        if given[1]:
            password = sys.stdin.buffer.read(_SECRET_LIMIT).decode("utf-8", "surrogateescape").rstrip("\r\n")
        else:
            if given[0]:
                tell("sandbox: warning: a password on the line can be seen by others; --password-stdin is safer")
            password = arguments.text("password") or _asked("Password: ", hidden=True)
        if not username or not password:
            raise InvalidError("name or password is empty")
        kept = session.log_in(domain, Credential(username, password))
        place = session.config.save(domain, kept)
    tell(f"sandbox: the login is kept in {place}")
    say("Login Succeeded\n")
    return 0


def _logout(arguments: Arguments, _home: str) -> int:
    from sandbox.registry.client.dockerconfig import DockerConfig  # noqa: PLC0415

    domain = _domain(arguments)
    if DockerConfig.of(os.environ).forget(domain):
        say(f"Removing login credentials for {domain}\n")
    else:
        say(f"Not logged in to {domain}\n")
    return 0


def _domain(arguments: Arguments) -> str:
    """The registry: a host with or without a port; people also paste its address."""
    from sandbox.image.reference import DEFAULT_DOMAIN, LEGACY_DOMAIN, parse  # noqa: PLC0415

    if not arguments.operands:
        return DEFAULT_DOMAIN
    text = arguments.operands[0]
    domain = text.partition("://")[2] or text
    domain = domain.partition("/")[0]
    if domain in (DEFAULT_DOMAIN, LEGACY_DOMAIN):
        return DEFAULT_DOMAIN
    parse(f"{domain}/x")  # says what is wrong with a host
    return domain


def _asked(question: str, *, hidden: bool) -> str:
    if not os.isatty(0):
        raise UsageError("standard input is no terminal to ask at", hint="--username NAME --password-stdin")
    try:
        if hidden:
            from getpass import getpass  # noqa: PLC0415  (seldom)

            return getpass(question)
        return input(question)
    except EOFError:
        raise InvalidError("nothing was entered") from None


VERBS = {
    "login": Verb(
        Syntax(
            "log in to a registry (docker.io), and remember it",
            "[REGISTRY]",
            (
                Option(("-u", "--username"), "the name; asked for where it is not given", "NAME"),
                Option(("-p", "--password"), "the password or token, visible to others", "PASSWORD"),
                Option(("--password-stdin",), "read it from standard input"),
                TLS_VERIFY,
            ),
        ),
        _login,
    ),
    "logout": Verb(Syntax("forget a login", "[REGISTRY]"), _logout),
}
