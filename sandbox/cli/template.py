"""`--format`: the part of Go's text/template that people use with docker. Pure.

Understood are `{{.Field.Field}}`, `{{.}}`, `{{json .Field}}`, `{{index .Field "key" 0}}`, `{{len .Field}}`,
`{{join .Field ","}}`, `{{upper .Field}}`, `{{lower .Field}}` and `{{"text"}}`, each with text around it, and pipes into
a function (`{{.Field | json}}`). Everything else (`range`, `if`, variables) is refused by name. Source: pkg.go.dev,
text/template, and docker's manual, "Format command and log output".
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from sandbox.cli.options import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_ACTION = re.compile(r"\{\{-?(.*?)-?\}\}", re.DOTALL)
_WORD = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|(`[^`]*`)|(\|)|([^\s|"`]+))')
_FIELD = re.compile(r"(\.\w+)+|\.")
_ESCAPES = (("\\t", "\t"), ("\\n", "\n"), ('\\"', '"'))
_ARGUMENTS = {"json": (1, 1), "index": (2, 9), "len": (1, 1), "join": (2, 2), "upper": (1, 1), "lower": (1, 1)}
_MISSING = "<no value>"


class Template:
    """A compiled format; UsageError names what is not understood."""

    def __init__(self, text: str) -> None:
        for escape, character in _ESCAPES[:2]:
            text = text.replace(escape, character)
        self._parts: list[str | list[list[str]]] = []
        end = 0
        for match in _ACTION.finditer(text):
            self._parts += [text[end : match.start()], _pipeline(match.group(1))]
            end = match.end()
        if "{{" in text[end:]:
            raise UsageError(f"--format {text!r}: {{{{ without }}}}")
        self._parts.append(text[end:])

    def render(self, data: Any) -> str:
        """The text for one object, as decoded from JSON."""
        return "".join(part if isinstance(part, str) else _text(_run(part, data)) for part in self._parts)


def _pipeline(action: str) -> list[list[str]]:
    commands: list[list[str]] = [[]]
    position = 0
    action = action.strip()
    while position < len(action):
        match = _WORD.match(action, position)
        if match is None:
            raise UsageError(f"--format: {{{{{action}}}}} is not understood")
        word = match.group().strip()
        if word == "|":
            commands.append([])
        else:
            commands[-1].append(word)
        position = match.end()
    for number, command in enumerate(commands):
        _check(command, piped=number > 0, action=action)
    return commands


def _check(command: Sequence[str], *, piped: bool, action: str) -> None:
    if not command:
        raise UsageError(f"--format: {{{{{action}}}}} is not understood")
    head, operands = command[0], len(command) - 1 + piped
    if head in _ARGUMENTS:
        least, most = _ARGUMENTS[head]
        if not least <= operands <= most:
            raise UsageError(f"--format: {{{{{action}}}}}: wrong number of operands for {head}")
        values = command[1:]
    elif operands or piped:
        known = ", ".join(_ARGUMENTS)
        raise UsageError(f"--format: {head!r} in {{{{{action}}}}} is not understood", hint=f"fields, {known}")
    else:
        values = command
    for word in values:
        if not (_FIELD.fullmatch(word) or word[0] in '"`' or word.isdigit()):
            known = ", ".join(_ARGUMENTS)
            raise UsageError(f"--format: {word!r} in {{{{{action}}}}} is not understood", hint=f"fields, {known}")


def _run(commands: Sequence[Sequence[str]], data: Any) -> Any:
    value: Any = None
    for number, command in enumerate(commands):
        piped = [value] if number else []
        if command[0] in _ARGUMENTS:
            value = _call(command[0], [*(_value(word, data) for word in command[1:]), *piped])
        else:
            value = _value(command[0], data)
    return value


def _value(word: str, data: Any) -> Any:
    if word.isdigit():
        return int(word)
    if word[0] == "`":
        return word[1:-1]
    if word[0] == '"':
        text = word[1:-1]
        for escape, character in _ESCAPES:
            text = text.replace(escape, character)
        return text
    for name in word.split("."):
        if name:
            data = _item(data, name, word)
    return data


def _item(data: Any, name: str | int, word: str) -> Any:
    if isinstance(data, dict):
        if isinstance(name, str) and name not in data:
            return _Absent()
        return data.get(name)
    if isinstance(data, list) and isinstance(name, int) and name < len(data):
        return data[name]
    if data is None or isinstance(data, _Absent):
        return _Absent()
    raise UsageError(f"--format: there is no {name!r} in {word}")


def _call(name: str, operands: list[Any]) -> Any:
    first = operands[0]
    if name == "index":
        for key in operands[1:]:
            first = _item(first, key, "index")
        return "" if isinstance(first, _Absent) else first
    if name == "json":
        return json.dumps(None if isinstance(first, _Absent) else first, ensure_ascii=False, separators=(",", ":"))
    if name == "len":
        return len(first) if isinstance(first, (str, list, dict)) else 0
    if name == "join":
        return str(operands[1]).join(map(_text, first)) if isinstance(first, list) else _text(first)
    return _text(first).upper() if name == "upper" else _text(first).lower()


class _Absent:
    """A field that is not there."""


def _text(value: Any) -> str:
    """A value as Go prints it."""
    if isinstance(value, _Absent):
        return _MISSING
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{' '.join(map(_text, value))}]"
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{_text(item)}' for key, item in sorted(value.items()))}]"
    return str(value)
