"""Asking a person for what nobody else is to see: never an argument, which every process of the host could read."""

from __future__ import annotations

import sys

_LONGEST = 4096  # characters of a line


def secret(question: str, *, from_stdin: bool = False) -> str:
    """A line without an echo, or the first of standard input where that is no terminal, or is to be read."""
    if from_stdin or not sys.stdin.isatty():
        return sys.stdin.readline(_LONGEST).rstrip("\r\n")
    from getpass import getpass  # noqa: PLC0415  (seldom)

    return getpass(question)
