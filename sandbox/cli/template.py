"""`--format`: Go's text/template, as far as people use it with docker. Pure.

Understood are fields (`{{.A.B}}`), variables, literals, pipes, parentheses, `if`/`else if`/`else`, `range`, `with`,
`break` and `continue`, comments, trimming (`{{- -}}`) and the functions of `template_functions`. `define`, `template`
and `block` are refused by name. A template comes from whoever types it, still its length, its depth and its output are
bounded: the Remote API's callers are others. Source: pkg.go.dev, text/template; docker's manual, "Format command and
log output".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sandbox.cli.options import UsageError
from sandbox.cli.template_functions import ABSENT, FUNCTIONS, display, item, truth
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MAX_TEXT = 1 << 16
_MAX_DEPTH = 50
_MAX_OUTPUT = 64 << 20
_MAX_STEPS = 2_000_000
_TOKEN = re.compile(
    r"""\s+|"(?:[^"\\\n]|\\.)*"|`[^`]*`|'(?:[^'\\]|\\.)'|:=|[|(),=]|\$\w*(?:\.\w+)*|(?:\.\w+)+|\.|-?\d[\w.]*|\w+""",
    re.ASCII | re.VERBOSE,
)
_KEYWORDS = frozenset(("if", "range", "with", "else", "end", "break", "continue", "define", "template", "block"))
_ESCAPES = {"\\t": "\t", "\\n": "\n"}
_ESCAPED = re.compile(r"\\(.)")


class _Text(NamedTuple):
    text: str


class _Action(NamedTuple):
    """A pipeline whose value is printed, unless it is put into variables."""

    variables: tuple[str, ...]
    declares: bool
    commands: tuple[tuple[Any, ...], ...]


class _Branch(NamedTuple):
    kind: str  # if | range | with
    action: _Action
    body: tuple[Any, ...]
    otherwise: tuple[Any, ...]


class _Jump(NamedTuple):
    kind: str  # break | continue


class _JumpedError(Exception):
    """A `break` or `continue` on its way to its loop."""


class Template:
    """A compiled format; UsageError names what is not understood."""

    def __init__(self, text: str) -> None:
        if len(text) > _MAX_TEXT:
            raise UsageError(f"--format is longer than {_MAX_TEXT} characters")
        parser = _Parser(_cut(text))
        self._nodes = parser.block(())

    def render(self, data: Any) -> str:
        """The text for one object, as decoded from JSON."""
        run = _Run(data)
        run.nodes(self._nodes, data)
        return "".join(run.output)


# -- parsing


def _cut(text: str) -> list[tuple[str, str]]:
    """The text in turns: ("text", …) and ("action", …)."""
    parts: list[tuple[str, str]] = []
    position = 0
    trim = False
    while True:
        start = text.find("{{", position)
        piece = text[position:] if start < 0 else text[position:start]
        for escape, character in _ESCAPES.items():
            piece = piece.replace(escape, character)
        if trim:
            piece = piece.lstrip()
        if start < 0:
            if piece:
                parts.append(("text", piece))
            return parts
        end = _end(text, start + 2)
        action = text[start + 2 : end]
        if action[:1] == "-" and action[1:2].isspace():
            action, piece = action[1:], piece.rstrip()
        trim = len(action) > 1 and action[-1] == "-" and action[-2].isspace()
        action = action[:-1] if trim else action
        if piece:
            parts.append(("text", piece))
        if not action.strip().startswith("/*"):
            parts.append(("action", action.strip()))
        position = end + 2


def _end(text: str, position: int) -> int:
    """Where the action ends; braces in its quotes do not count."""
    begin = position
    while position < len(text):
        if text.startswith("}}", position):
            return position
        match = _TOKEN.match(text, position)
        position = match.end() if match is not None and text[position] in "\"`'" else position + 1
    raise UsageError(f"--format: {{{{ without }}}} at {text[begin - 2 : begin + 30]!r}")


class _Parser:
    def __init__(self, parts: Sequence[tuple[str, str]]) -> None:
        self._parts = list(reversed(parts))
        self._depth = 0
        self._loops = 0
        self.ended_by = ""  # the rest of the action that ended the last block

    def block(self, ends: tuple[str, ...]) -> tuple[Any, ...]:
        """The nodes up to an action whose keyword is in `ends`."""
        nodes: list[Any] = []
        while self._parts:
            kind, text = self._parts.pop()
            if kind == "text":
                nodes.append(_Text(text))
                continue
            words = _words(text)
            keyword = words[0] if words and words[0] in _KEYWORDS else ""
            if keyword in ends and keyword:
                self.ended_by = text
                return tuple(nodes)
            if keyword in ("if", "range", "with"):
                nodes.append(self._branch(keyword, words[1:], text))
            elif keyword in ("break", "continue") and len(words) == 1 and self._loops:
                nodes.append(_Jump(keyword))
            elif keyword:
                known = "if, range, with, else, end"
                raise UsageError(f"--format: {{{{{text}}}}} is not understood here", hint=f"fields, functions, {known}")
            else:
                nodes.append(_Pipeline(words, text).parse())
        if ends:
            raise UsageError("--format: {{end}} is missing")
        return tuple(nodes)

    def _branch(self, kind: str, words: list[str], text: str) -> _Branch:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise UsageError(f"--format is nested more than {_MAX_DEPTH} deep")
        action = _Pipeline(words, text).parse()
        self._loops += kind == "range"
        body = self.block(("else", "end"))
        self._loops -= kind == "range"
        otherwise: tuple[Any, ...] = ()
        ended = _words(self.ended_by)
        if ended[0] == "else":
            if ended[1:2] == ["if"] or ended[1:2] == ["with"]:
                otherwise = (self._branch(ended[1], ended[2:], self.ended_by),)
            elif len(ended) > 1:
                raise UsageError(f"--format: {{{{{self.ended_by}}}}} is not understood")
            else:
                otherwise = self.block(("end",))
        self._depth -= 1
        return _Branch(kind, action, body, otherwise)


def _words(text: str) -> list[str]:
    words: list[str] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise UsageError(f"--format: {{{{{text}}}}} is not understood")
        if match.group().strip():
            # `(index .A 0).B`: a field right after a parenthesis belongs to it
            attached = match.group().startswith(".") and words[-1:] == [")"] and text[position - 1] == ")"
            words.append(f"){match.group()}" if attached else match.group())
            if attached:
                words.pop(-2)
        position = match.end()
    return words


class _Pipeline:
    """Reads `$v := command | command`."""

    def __init__(self, words: list[str], text: str) -> None:
        self._words = list(reversed(words))
        self._text = text

    def parse(self) -> _Action:
        """All of it. Raises UsageError."""
        variables: list[str] = []
        declares = False
        words = self._words[::-1]
        for mark in (":=", "="):
            if mark in words:
                head = words[: words.index(mark)]
                variables = [word for word in head if word != ","]
                if not variables or len(variables) > 2 or any(not word.startswith("$") for word in variables):
                    raise self._wrong()
                declares = mark == ":="
                del self._words[len(self._words) - len(head) - 1 :]
                break
        commands = self._commands(0)
        if self._words:
            raise self._wrong()
        return _Action(tuple(variables), declares, commands)

    def _commands(self, depth: int) -> tuple[tuple[Any, ...], ...]:
        if depth > _MAX_DEPTH:
            raise UsageError(f"--format is nested more than {_MAX_DEPTH} deep")
        commands: list[tuple[Any, ...]] = []
        while True:
            operands: list[Any] = []
            while self._words and self._words[-1] != "|" and not self._words[-1].startswith(")"):
                word = self._words.pop()
                if word == "(":
                    inner = self._commands(depth + 1)
                    if not self._words:
                        raise self._wrong()
                    operands.append((inner, self._words.pop()[1:]))
                elif word in (",", "=", ":="):
                    raise self._wrong()
                else:
                    operands.append(word)
            self._check(operands, piped=bool(commands))
            commands.append(tuple(operands))
            if not self._words or self._words[-1].startswith(")"):
                return tuple(commands)
            self._words.pop()

    def _check(self, operands: list[Any], *, piped: bool) -> None:
        if not operands:
            raise self._wrong()
        head = operands[0]
        count = len(operands) - 1 + piped
        if isinstance(head, str) and head in FUNCTIONS:
            least, most, _ = FUNCTIONS[head]
            if not least <= count <= most:
                raise UsageError(f"--format: {{{{{self._text}}}}}: wrong number of operands for {head}")
        elif count:
            raise self._unknown(head)
        for word in operands[isinstance(head, str) and head in FUNCTIONS :]:
            if isinstance(word, str) and not (word[0] in ".$\"`'-" or word[0].isdigit() or word in _CONSTANTS):
                if word in FUNCTIONS and FUNCTIONS[word][0] == 0:
                    continue
                raise self._unknown(word)

    def _unknown(self, word: object) -> UsageError:
        known = ", ".join(FUNCTIONS)
        name = word if isinstance(word, str) else "(…)"
        return UsageError(f"--format: {name!r} in {{{{{self._text}}}}} is not understood", hint=f"fields, {known}")

    def _wrong(self) -> UsageError:
        return UsageError(f"--format: {{{{{self._text}}}}} is not understood")


_CONSTANTS = {"true": True, "false": False, "nil": None}


# -- running


class _Run:
    """One rendering."""

    def __init__(self, data: Any) -> None:
        self.output: list[str] = []
        self._length = 0
        self._steps = 0
        self._variables: list[tuple[str, Any]] = [("$", data)]

    def nodes(self, nodes: Sequence[Any], dot: Any) -> None:
        """Print the nodes."""
        mark = len(self._variables)
        for node in nodes:
            self._steps += 1
            if self._steps > _MAX_STEPS:
                raise UsageError(f"--format takes more than {_MAX_STEPS} steps")
            if isinstance(node, _Text):
                self._print(node.text)
            elif isinstance(node, _Action):
                value = self._pipeline(node.commands, dot)
                if node.variables:
                    self._assign(node.variables[0], value, declares=node.declares)
                else:
                    self._print(display(value))
            elif isinstance(node, _Branch):
                self._branch(node, dot)
            else:
                raise _JumpedError(node.kind)
        del self._variables[mark:]

    def _branch(self, node: _Branch, dot: Any) -> None:
        value = self._pipeline(node.action.commands, dot)
        mark = len(self._variables)
        if node.kind == "range":
            empty = True
            for key, element in _elements(value):
                empty = False
                pair = (key, element)[2 - len(node.action.variables) :] if node.action.variables else ()
                for name, part in zip(node.action.variables, pair, strict=True):
                    self._assign(name, part, declares=node.action.declares)
                try:
                    self.nodes(node.body, element)
                except _JumpedError as jumped:
                    if jumped.args[0] == "break":
                        break
                finally:
                    del self._variables[mark:]
            if empty:
                self.nodes(node.otherwise, dot)
        else:
            if node.action.variables:
                self._assign(node.action.variables[0], value, declares=node.action.declares)
            if truth(value):
                self.nodes(node.body, value if node.kind == "with" else dot)
            else:
                self.nodes(node.otherwise, dot)
        del self._variables[mark:]

    def _pipeline(self, commands: Sequence[tuple[Any, ...]], dot: Any) -> Any:
        value: Any = None
        for number, operands in enumerate(commands):
            head = operands[0]
            piped = [value] if number else []
            if isinstance(head, str) and head in FUNCTIONS:
                values = [*(self._value(word, dot) for word in operands[1:]), *piped]
                value = FUNCTIONS[head][2](*values)
            else:
                value = self._value(head, dot)
        return value

    def _value(self, word: Any, dot: Any) -> Any:
        if isinstance(word, tuple):
            inner, fields = word
            return _fields(self._pipeline(inner, dot), fields)
        first = word[0]
        if first == ".":
            return _fields(dot, word)
        if first == "$":
            name, _, fields = word.partition(".")
            for known, value in reversed(self._variables):
                if known == name:
                    return _fields(value, fields)
            raise UsageError(f"--format: there is no variable {name}")
        return _literal(word)

    def _assign(self, name: str, value: Any, *, declares: bool) -> None:
        if not declares:
            for number in reversed(range(len(self._variables))):
                if self._variables[number][0] == name:
                    self._variables[number] = (name, value)
                    return
            raise UsageError(f"--format: there is no variable {name}")
        self._variables.append((name, value))

    def _print(self, text: str) -> None:
        self._length += len(text)
        if self._length > _MAX_OUTPUT:
            raise UsageError(f"--format prints more than {_MAX_OUTPUT} characters")
        self.output.append(text)


def _literal(word: str) -> Any:
    """A constant, a text, a number, or a function without operands."""
    if word in _CONSTANTS:
        return _CONSTANTS[word]
    if word[0] in "\"'":
        return _ESCAPED.sub(lambda match: {"n": "\n", "t": "\t", "r": "\r"}.get(match[1], match[1]), word[1:-1])
    if word[0] == "`":
        return word[1:-1]
    if word in FUNCTIONS:
        return FUNCTIONS[word][2]()
    try:
        return float(word) if "." in word else int(word, 0)
    except ValueError:
        raise UsageError(f"--format: {word!r} is not a number") from None


def _fields(value: Any, word: str) -> Any:
    for name in word.split("."):
        if name:
            value = item(value, name, word)
    return value


def _elements(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        return iter(sorted(value.items()))
    if isinstance(value, (list, tuple)):
        return iter(enumerate(value))
    if value is None or value is ABSENT:
        return iter(())
    raise UsageError(f"--format: range over {display(value)[:50]!r}, which is no list")
