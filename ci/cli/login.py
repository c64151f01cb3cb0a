"""`ci-run login URL`: keep which server the other verbs talk to, and the token for it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ci.cli import api
from ci.cli.asking import secret
from ci.errors import CiError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

HELP = "say which server the other commands talk to"


def configure(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("url", metavar="URL", help="the server's: https://ci.example.org")
    parser.add_argument("--token-stdin", action="store_true", help="read the token from standard input")


def run(arguments: Namespace) -> int:
    """Ask for the token, and keep it if the server knows it."""
    url = arguments.url.rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise CiError(f"{arguments.url!r} is not the URL of a server", hint="https://HOST", reference="usage")
    login = api.Login(url=url, token=secret(f"Token for {url}: ", from_stdin=arguments.token_stdin).strip())
    user = api.Server(login).get("user")
    path = api.keep(os.environ, login)
    sys.stdout.write(f"logged in at {url} as {user['login']}; the token is in {path}\n")
    return 0
