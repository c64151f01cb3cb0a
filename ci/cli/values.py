"""Variables and secrets given to `ci-run local`: as arguments, in files, or taken from the environment. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ci.errors import CiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "$": "$", "\n": ""}


def variables(given: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """NAME=VALUE arguments, or NAME for the value of $NAME; the last of a name counts. Raises CiError."""
    return assignments(
        "--env", (text if "=" in text or text not in environment else f"{text}={environment[text]}" for text in given)
    )


def assignments(option: str, given: Iterable[str], pattern: re.Pattern[str] = _NAME) -> dict[str, str]:
    """NAME=VALUE arguments, the last of a name counting. Raises CiError."""
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not pattern.fullmatch(name):
            raise CiError(f"{option}: {text!r} is not NAME=VALUE", reference="usage")
        found[name] = value
    return found


def secrets(
    given: Iterable[str], files: Iterable[str], *, environment: Mapping[str, str], read: Callable[[str], str]
) -> dict[str, str]:
    """The secrets' values by name: from files, then from NAME=VALUE or NAME (then $NAME), which count more.

    `read` gives a file's text. Raises CiError, which never holds a value.
    """
    found: dict[str, str] = {}
    for file in files:
        found |= dotenv(read(file), file)
    for text in given:
        name, equals, value = text.partition("=")
        if not _SECRET.fullmatch(name):
            raise CiError("--secret: the name before the = is malformed", hint="NAME=VALUE, or NAME", reference="usage")
        if not equals and name not in environment:
            raise CiError(f"--secret {name}: there is no ${name} in the environment", reference="usage")
        found[name] = value if equals else environment[name]
    return found


def dotenv(text: str, filename: str) -> dict[str, str]:
    """NAME=VALUE lines, as common .env files have them.

    `export` before the name, comments, empty lines; values bare (a comment after a blank ends them), in single quotes
    (as they are) or in double quotes (with backslash escapes); quoted ones may go over several lines. Nothing is
    substituted: a secret with a `$` in it is left alone. Raises CiError with file and line, never with the value.
    """
    found: dict[str, str] = {}
    at = 0
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        line = text[at:end].strip()
        if line and not line.startswith("#"):
            number = text.count("\n", 0, at) + 1
            name, equals, _ = text[at:end].partition("=")
            name = name.strip().removeprefix("export ").strip()
            if not equals or not _SECRET.fullmatch(name):
                raise CiError(f"{filename}:{number}: not a line NAME=VALUE", reference="bad-secret-file")
            found[name], end = _value(text, text.index("=", at) + 1, end, f"{filename}:{number}")
        at = end + 1
    return found


def _value(text: str, at: int, end: int, where: str) -> tuple[str, int]:
    """The value that begins at `at`, and where its (last) line ends."""
    while text[at:end].startswith((" ", "\t")):
        at += 1
    quote = text[at : at + 1]
    if quote not in ("'", '"'):
        value = text[at:end]
        comment = re.search(r"(^|\s)#", value)
        return (value[: comment.start()] if comment else value).strip(), end
    characters, position = [], at + 1
    while position < len(text) and text[position] != quote:
        character = text[position]
        if quote == '"' and character == "\\" and position + 1 < len(text):
            position += 1
            character = _ESCAPES.get(text[position], "\\" + text[position])
        characters.append(character)
        position += 1
    if position >= len(text):
        raise CiError(f"{where}: the quote {quote} is not closed", reference="bad-secret-file")
    end = text.find("\n", position)
    return "".join(characters), len(text) if end < 0 else end
