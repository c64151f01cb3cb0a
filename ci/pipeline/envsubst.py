"""`${NAME}` as drone and Woodpecker replace it: with bash's operators, and nothing for what has no value.

The same two functions as `substitution`, which is for our own dialect: `parameters` and `expand`. There the whole file
is text when this happens; here it happens to each value of the parsed file, so that what a stranger wrote (a branch's
name, a commit's message) can add no key and no step. `hide` and `reveal` keep the YAML parser from taking the
characters of an expression for its own: `[echo ${A:0:8}]` is a list of one command, as it is where text is replaced.

`$$` is one `$`, `$NAME` stays. Words may hold expressions: `${A:-${B}}`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci.pipeline.operators import DEFAULTS, OPERATORS, OperatorError, apply, separator
from ci.pipeline.substitution import SubstitutionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

DEPTH_LIMIT = 8

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SIMPLE = re.compile(r"\$\{[^{}\n\\]{0,1990}\}")  # nothing inside that has braces
_OPENING = re.compile(r"\$[${]")
# What YAML reads as its own in a plain value, and stand-ins of the same length that no file holds.
_MARKS = "{}[],:#&*!|>%@`"
_HIDING = {ord(mark): 0x10FF00 + number for number, mark in enumerate(_MARKS)}
_REVEALING = {stand_in: chr(mark) for mark, stand_in in _HIDING.items()}
_HIDDEN = re.compile(f"[{chr(0x10FF00)}-{chr(0x10FF00 + len(_MARKS) - 1)}]")


@dataclass(frozen=True, slots=True)
class Parameter:
    """`${name…}` from `start` to `end` of the text; the words after `operator` are texts with parameters again."""

    name: str
    start: int
    end: int
    operator: str = ""
    words: tuple[tuple[str | Parameter, ...], ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """All variables that its value is made of."""
        return frozenset((self.name, *(one.name for word in self.words for one in _named(word))))

    @property
    def has_default(self) -> bool:
        """Whether it stands for something even without a value."""
        return self.operator in DEFAULTS


def parse(text: str) -> tuple[str | Parameter, ...]:
    """The text as literals (`$$` already made `$`) and parameters, in order. Raises SubstitutionError."""
    return _Scanner(text).parts() if "$" in text else ((text,) if text else ())


def parameters(text: str) -> tuple[Parameter, ...]:
    """The variables that a text names, in order, those of words too. Raises SubstitutionError."""
    return tuple(_named(parse(text))) if "${" in text else ()


def expand(text: str, lookup: Callable[[str], str | None]) -> str:
    """The text with each variable's value, empty for one that `lookup` does not know. Raises SubstitutionError."""
    return _joined(parse(text), lookup) if "$" in text else text


def evaluate(parameter: Parameter, lookup: Callable[[str], str | None]) -> str:
    """What one expression stands for. Raises SubstitutionError."""
    value = lookup(parameter.name) or ""
    if not parameter.operator:
        return value
    try:
        return apply(parameter.operator, value, [_joined(word, lookup) for word in parameter.words])
    except OperatorError as error:
        raise SubstitutionError(str(error), parameter.start, parameter.end) from None


def hide(text: str) -> str:
    """The text with what is YAML's inside of `${…}` replaced, character by character, so that places stay."""
    if "${" not in text or _HIDDEN.search(text):
        return text
    parts: list[str] = []
    last = 0
    for start, end in expressions(text):
        parts += (text[last:start], text[start:end].translate(_HIDING))
        last = end
    return "".join((*parts, text[last:]))


def reveal(text: str) -> str:
    """What `hide` hid."""
    return text.translate(_REVEALING)


def expressions(text: str) -> Iterator[tuple[int, int]]:
    """Where expressions are in a text, from start to end: each on one line, with the `}` that ends it."""
    at = text.find("${")
    while at >= 0:
        if simple := _SIMPLE.match(text, at):
            yield simple.span()
            at = text.find("${", simple.end())
            continue
        depth, end = 0, at + 1
        for end in range(at + 1, min(len(text), at + 2000)):
            character = text[end]
            depth += (character == "{" and text[end - 1] == "$") - (character == "}" and text[end - 1] != "\\")
            if character == "\n" or not depth:
                break
        if not depth:
            yield at, end + 1
        at = text.find("${", end + 1)


def _named(parts: Sequence[str | Parameter]) -> Iterator[Parameter]:
    for part in parts:
        if isinstance(part, Parameter):
            yield part
            for word in part.words:
                yield from _named(word)


def _joined(parts: Sequence[str | Parameter], lookup: Callable[[str], str | None]) -> str:
    return "".join(part if isinstance(part, str) else evaluate(part, lookup) for part in parts)


class _Scanner:
    """Reads one text from its beginning to its end."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def parts(self) -> tuple[str | Parameter, ...]:
        """Literals and parameters up to the end."""
        parts: list[str | Parameter] = []
        literal: list[str] = []
        while match := _OPENING.search(self.text, self.at):
            literal.append(self.text[self.at : match.start()])
            self.at = match.end()
            if match[0] == "$$":
                literal.append("$")
                continue
            if joined := "".join(literal):
                parts.append(joined)
            literal = []
            parts.append(self._parameter(match.start(), 1))
        if rest := "".join((*literal, self.text[self.at :])):
            parts.append(rest)
        return tuple(parts)

    def _parameter(self, start: int, depth: int) -> Parameter:
        """An expression whose `${` is read already."""
        if depth > DEPTH_LIMIT:
            raise SubstitutionError(f"nested more than {DEPTH_LIMIT} deep", start, self.at)
        length = self.text.startswith("#", self.at)
        self.at += length
        name = _NAME.match(self.text, self.at)
        if name is None:
            raise SubstitutionError(self._quoted(start, "does not name a variable"), start, self._close(start))
        self.at = name.end()
        operator = next((one for one in OPERATORS if self.text.startswith(one, self.at)), "")
        words: tuple[tuple[str | Parameter, ...], ...] = ()
        if operator and not length:
            self.at += len(operator)
            words = self._words(start, separator(operator), depth)
        if not self.text.startswith("}", self.at):
            unended = self.text.find("}", self.at) < 0
            what = 'has no "}" after it' if unended else "has an operator that is not known"
            raise SubstitutionError(self._quoted(start, what), start, self._close(start))
        self.at += 1
        return Parameter(name[0], start, self.at, "length" if length else operator, words)

    def _words(self, start: int, between: str, depth: int) -> tuple[tuple[str | Parameter, ...], ...]:
        """Up to the `}`, which is left to be read."""
        words: list[tuple[str | Parameter, ...]] = []
        parts: list[str | Parameter] = []
        literal: list[str] = []
        while self.at < len(self.text) and self.text[self.at] != "}":
            character = self.text[self.at]
            if character == "\\" and self.text[self.at + 1 : self.at + 2] in {"}", "/"}:
                literal.append(self.text[self.at + 1])
                self.at += 2
            elif self.text.startswith("${", self.at):
                parts += ("".join(literal), self._nested(depth))
                literal = []
            elif character == between and not words:
                words.append((*parts, "".join(literal)))
                parts, literal = [], []
                self.at += 1
            else:
                literal.append(character)
                self.at += 1
        if self.at == len(self.text):
            raise SubstitutionError(self._quoted(start, 'has no "}" after it'), start, len(self.text))
        return (*words, (*parts, "".join(literal)))

    def _nested(self, depth: int) -> Parameter:
        start = self.at
        self.at += 2
        return self._parameter(start, depth + 1)

    def _close(self, start: int) -> int:
        end = self.text.find("}", start)
        return len(self.text) if end < 0 else end + 1

    def _quoted(self, start: int, what: str) -> str:
        shown = self.text[start : self._close(start)]
        return f'"{shown if len(shown) <= 60 else shown[:59] + "…"}" {what}'
