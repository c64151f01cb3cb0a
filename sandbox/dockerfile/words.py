"""Words as BuildKit's shell lexer sees them: quotes, escapes and variables.

The same rules serve the expansion of an instruction's words, the names of heredocs and the splitting of `EXPOSE`. They
are those of a small shell: single quotes keep all, double quotes keep all but `$` and the escaped, and a variable is
`$name` or `${name}` with one of the modifiers `:- - :+ + :? ? # ## % %% / //`. Specification: "Environment replacement"
in docker's Dockerfile reference; where it is silent, BuildKit's `shell/lex.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.dockerfile import shellpattern
from sandbox.dockerfile.source import is_space
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

EXPANSION_LIMIT = 1 << 20  # characters: `ENV A=$A$A` doubles with every line
_DEPTH_LIMIT = 50  # `${a:-${a:-…}}`
_SPECIAL = "@*#?-$!0"  # POSIX' special parameters, which no Dockerfile can set
_NO_VARIABLES: Mapping[str, str] = {}


class WordError(ValueError):
    """A quote or brace is not closed, a modifier is unknown, or a variable is missing that `?` requires."""


class Expansion(NamedTuple):
    """A text with its variables replaced, the same split at blanks, and which variables it named."""

    text: str
    words: tuple[str, ...]
    found: frozenset[str]
    missing: frozenset[str]


class WordRules(NamedTuple):
    """How a text is read: its escape character, and what is kept as it stands.

    `keep_quotes` and `keep_escapes` leave those characters in; `plain_quotes` gives them no meaning (the content of
    heredocs); `keep_unset` leaves references to unknown variables as they are written.
    """

    escape: str = "\\"
    keep_quotes: bool = False
    keep_escapes: bool = False
    plain_quotes: bool = False
    keep_unset: bool = False

    def expand(self, text: str, variables: Mapping[str, str] = _NO_VARIABLES) -> Expansion:
        """Replace variables and take quotes away. WordError says what cannot be read, in terms of the text."""
        if "$" not in text and "'" not in text and '"' not in text and self.escape not in text:
            return Expansion(text, tuple(_split(text)), frozenset(), frozenset())
        reader = _Reader(self, text, variables)
        result, words = reader.until("", keep_escapes=self.keep_escapes)
        return Expansion(result, tuple(words), frozenset(reader.found), frozenset(reader.missing))


def _split(text: str) -> list[str]:
    words = _Words()
    words.add_splitting(text)
    return words.finish()


class _Words:
    """Words as they grow. What was quoted or escaped never separates words."""

    def __init__(self) -> None:
        self._done: list[str] = []
        self._parts: list[str] = []

    def add(self, text: str) -> None:
        self._parts.append(text)

    def add_splitting(self, text: str) -> None:
        start = 0
        for position, character in enumerate(text):
            if is_space(character):
                self._parts.append(text[start:position])
                self._end()
                start = position + 1
        self._parts.append(text[start:])

    def _end(self) -> None:
        if word := "".join(self._parts):
            self._done.append(word)
        self._parts.clear()

    def finish(self) -> list[str]:
        self._end()
        return self._done


class _Reader:
    """One pass over one text."""

    def __init__(self, rules: WordRules, text: str, variables: Mapping[str, str]) -> None:
        self.rules = rules
        self.text = text
        self.variables = variables
        self.position = 0
        self.depth = 0
        self.size = 0
        self.found: set[str] = set()
        self.missing: set[str] = set()
        self.keep_escapes = rules.keep_escapes

    def peek(self) -> str:
        return self.text[self.position : self.position + 1]

    def next(self) -> str:
        character = self.peek()
        self.position += 1
        return character

    def until(self, stop: str, *, keep_escapes: bool) -> tuple[str, list[str]]:
        """Read up to the character `stop`, or to the end where that is empty."""
        before, self.keep_escapes = self.keep_escapes, keep_escapes
        self.depth += 1
        if self.depth > _DEPTH_LIMIT:
            raise WordError("variables are nested too deeply")
        result: list[str] = []
        words = _Words()
        while character := self.peek():
            if character == stop:
                break
            if character == "$":
                value = self.variable()
                words.add_splitting(value)
            elif character in "'\"" and not self.rules.plain_quotes:
                value = self.single_quoted() if character == "'" else self.double_quoted()
                words.add(value)
            elif character == self.rules.escape:
                value = self.escaped()
                words.add(value)
            else:
                value = self.next()
                words.add_splitting(value)
            result.append(value)
        if stop and not self.next():
            raise WordError(f"missing '{stop}'" + (" in ${}" if stop == "/" else ""))
        self.depth -= 1
        self.keep_escapes = before
        return "".join(result), words.finish()

    def escaped(self) -> str:
        escape = self.next()
        return (escape if self.keep_escapes else "") + self.next()

    def single_quoted(self) -> str:
        end = self.text.find("'", self.position + 1)
        if end < 0:
            raise WordError("a single quote is not closed")
        inner = self.text[self.position + 1 : end]
        self.position = end + 1
        return f"'{inner}'" if self.rules.keep_quotes else inner

    def double_quoted(self) -> str:
        quote = self.next()
        result = [quote] if self.rules.keep_quotes else []
        while character := self.peek():
            if character == '"':
                self.position += 1
                return "".join([*result, '"'] if self.rules.keep_quotes else result)
            if character == "$":
                result.append(self.variable())
                continue
            self.position += 1
            if character == self.rules.escape:
                if self.keep_escapes:
                    result.append(character)
                following = self.peek()
                if not following:
                    break
                if following in ('"', "$", self.rules.escape):  # others keep their escape character
                    character = self.next()
            result.append(character)
        raise WordError("a double quote is not closed")

    def variable(self) -> str:
        value = self._variable()
        self.size += len(value)
        if self.size > EXPANSION_LIMIT:
            raise WordError(f"variables expand to more than {EXPANSION_LIMIT} characters")
        return value

    def _variable(self) -> str:
        self.position += 1  # the dollar
        if self.peek() != "{":
            name = self.name()
            if not name:
                return "$"
            return self._kept(name, f"${name}")
        self.position += 1
        if not self.peek():
            raise WordError("missing '}'")
        if self.peek() in "{}:":
            raise WordError("bad substitution")
        name = self.name()
        modifier = self.next()
        if modifier == "}":
            return self._kept(name, f"${{{name}}}")
        if not modifier:
            raise WordError("missing '}'")
        return self._replaced(name) if modifier == "/" else self._modified(name, modifier)

    def _modified(self, name: str, modifier: str) -> str:
        empty_counts = modifier == ":"
        if empty_counts:
            modifier = self.next()
        shown = ":" * empty_counts + modifier
        if not modifier or modifier not in ("+-?" if empty_counts else "+-?#%"):
            raise WordError(f"unsupported modifier ({shown}) in substitution")
        word, _ = self.until("}", keep_escapes=modifier in "#%")
        value = self.lookup(name)
        if value is None and self.rules.keep_unset:
            return f"${{{name}{shown}{word}}}"
        if modifier in "#%":
            return self._trimmed(modifier, word, value or "")
        absent = value is None or (empty_counts and not value)
        if modifier == "?" and absent:
            raise WordError(f"{name}: {word or ('is not set' if value is None else 'is empty')}")
        if modifier == "+":
            return "" if absent else word
        return word if absent else value or ""

    def _kept(self, name: str, reference: str) -> str:
        value = self.lookup(name)
        return value if value is not None else reference if self.rules.keep_unset else ""

    def _trimmed(self, modifier: str, pattern: str, value: str) -> str:
        greedy = pattern.startswith(modifier)
        trim = shellpattern.trim_prefix if modifier == "#" else shellpattern.trim_suffix
        try:
            return trim(pattern[greedy:], value, greedy=greedy)
        except shellpattern.PatternError as error:
            raise WordError(f"invalid pattern ({pattern}) in substitution: {error}") from None

    def _replaced(self, name: str) -> str:
        every = self.peek() == "/"
        self.position += every
        pattern, _ = self.until("/", keep_escapes=True)
        replacement, _ = self.until("}", keep_escapes=True)
        value = self.lookup(name)
        if value is None and self.rules.keep_unset:
            return f"${{{name}/{pattern}/{replacement}}}"
        try:
            result = shellpattern.replace(pattern, value or "", replacement, every=every)
        except shellpattern.PatternError as error:
            raise WordError(f"invalid pattern ({pattern}) in substitution: {error}") from None
        return result

    def name(self) -> str:
        """A name, a number or a special parameter; empty where none begins."""
        start = self.position
        first = self.peek()
        if first and first in _SPECIAL and not first.isdecimal():
            self.position += 1
        elif first.isdecimal():
            while self.peek().isdecimal():
                self.position += 1
        else:
            while (character := self.peek()) and (character.isalpha() or character.isdecimal() or character == "_"):
                self.position += 1
        return self.text[start : self.position]

    def lookup(self, name: str) -> str | None:
        value = self.variables.get(name)
        (self.missing if value is None else self.found).add(name)
        return value
