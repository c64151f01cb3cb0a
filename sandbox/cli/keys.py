"""`--detach-keys`: the keys that leave a container alone. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.cli.options import Option, UsageError
from sandbox.cli.relay import DETACH_KEYS

if TYPE_CHECKING:
    from sandbox.cli.options import Arguments

DETACH = Option(("--detach-keys",), "keys that leave it alone (ctrl-p,ctrl-q)", "KEYS")


def detach_keys(arguments: Arguments) -> bytes:
    """The bytes that those keys type."""
    return parse(arguments.text("detach-keys")) or DETACH_KEYS


def parse(text: str) -> bytes:
    """`a`, `ctrl-p`, or several joined by commas; ctrl goes with a letter and with @ [ \\ ] ^ _ (docker's). Raises
    UsageError.
    """
    found = bytearray()
    for word in text.split(",") if text else ():
        key = word.removeprefix("ctrl-")
        if len(key) != 1 or not key.isascii() or not key.isprintable():
            raise UsageError(f"--detach-keys {text!r}: no key is called {word!r}", hint="such as ctrl-p,ctrl-q")
        if key == word:
            found += key.encode()
        elif key.isalpha() or key in "@[\\]^_":
            found.append(ord(key.upper()) - 64)
        else:
            raise UsageError(f"--detach-keys {text!r}: ctrl does not go with {key!r}", hint="such as ctrl-p,ctrl-q")
    return bytes(found)
