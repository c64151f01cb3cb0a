"""The grammar of the command line: which options a verb has, and reading a line of words with them.

Docker's rules (those of spf13/pflag), because people type docker's lines: long options with a space or `=`, short ones
joined (`-it`) or with their value attached (`-eA=1`), `--` ends the options, and for `run`, `create` and `exec` so does
the first operand, since the rest is the container's own command. Pure. Not argparse, whose import and set-up alone
would be a tenth of a whole `sandbox run`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.errors import InvalidError
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))


class UsageError(InvalidError):
    """The line itself is wrong; `main` gives it the exit code of the verb and, where it has no hint, a pointer to
    --help.
    """

    reference = "usage"
    exit_code = 2


class HelpAsked(Exception):
    """`--help` stands among the options."""


class Option(NamedTuple):
    """One option. `names` has the long one last; `value` is what the help calls its value, empty for a switch."""

    names: tuple[str, ...]
    help: str
    value: str = ""
    many: bool = False  # may be given several times; otherwise the last one counts

    @property
    def key(self) -> str:
        """How the code asks for it: the long name without dashes."""
        return self.names[-1].lstrip("-")


class Syntax(NamedTuple):
    """What may follow a verb. `operands` is shown in the help and counted: `IMAGE`, `[NAME]`, `CONTAINER...`."""

    help: str
    operands: str = ""
    options: tuple[Option, ...] = ()
    command: bool = False  # the first operand ends the options
    usage_code: int = 2

    def limits(self) -> tuple[int, int | None]:
        """The least and the greatest number of operands; `None` is no limit."""
        words = self.operands.split()
        least = sum(not word.startswith("[") for word in words)
        return least, None if any("..." in word for word in words) else len(words)


class Arguments:
    """The words of a line, sorted: options by their key, and the operands."""

    def __init__(self, values: Mapping[str, Sequence[str]], operands: Sequence[str]) -> None:
        self._values = values
        self.operands = tuple(operands)

    def given(self, key: str) -> bool:
        """Whether the option was on the line at all."""
        return key in self._values

    def flag(self, key: str, *, default: bool = False) -> bool:
        """A switch."""
        return self._values[key][-1] in _TRUE if key in self._values else default

    def text(self, key: str, default: str = "") -> str:
        """The value of an option, the last one where there are several."""
        return self._values[key][-1] if key in self._values else default

    def texts(self, key: str) -> tuple[str, ...]:
        """Every value of an option, in order."""
        return tuple(self._values.get(key, ()))

    def number(self, key: str, *, least: int = 0) -> int | None:
        """A whole number; `None` where the option is not given."""
        if key not in self._values:
            return None
        text = self.text(key)
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()) or int(text) < least:
            wanted = "a whole number" if least < 0 else f"a whole number from {least} on"
            raise UsageError(f"--{key} {text!r} is not {wanted}")
        return int(text)


class Verb(NamedTuple):
    """A verb's grammar and what it does; `run` gets the sorted words and $HAKO_HOME, and returns the exit code."""

    syntax: Syntax
    run: Callable[[Arguments, str], int]


def parse(syntax: Syntax, words: Sequence[str]) -> Arguments:
    """Sort the words after a verb. Raises UsageError that names the word, HelpAsked for `--help`, and for `-h` where
    that is no option.
    """
    names = {name: option for option in syntax.options for name in option.names}
    values: dict[str, list[str]] = {}
    operands: list[str] = []
    rest = list(reversed(words))
    while rest:
        word = rest.pop()
        if word == "--":
            operands += reversed(rest)
            break
        if word == "-" or not word.startswith("-"):
            operands.append(word)
            if syntax.command:
                operands += reversed(rest)
                break
        elif word.startswith("--"):
            _long(word, rest, names, values)
        else:
            _short(word, rest, names, values)
    least, most = syntax.limits()
    if len(operands) < least:
        missing = [name for name in syntax.operands.split() if not name.startswith("[")][len(operands)]
        raise UsageError(f"{missing.removesuffix('...')} is missing")
    if most is not None and len(operands) > most:
        raise UsageError(f"one word too many: {operands[most]!r}")
    return Arguments(values, operands)


def _long(word: str, rest: list[str], names: Mapping[str, Option], values: dict[str, list[str]]) -> None:
    name, equals, value = word.partition("=")
    option = names.get(name)
    if option is None:
        raise HelpAsked if name == "--help" else _unknown(name, names)
    if not option.value:
        _switch(option, name, value if equals else "true", values)
    elif equals:
        values.setdefault(option.key, []).append(value)
    else:
        values.setdefault(option.key, []).append(_next(name, rest))


def _short(word: str, rest: list[str], names: Mapping[str, Option], values: dict[str, list[str]]) -> None:
    letters = word[1:]
    while letters:
        name, letters = "-" + letters[0], letters[1:]
        option = names.get(name)
        if option is None:
            raise HelpAsked if word == "-h" else _unknown(name, names, word)
        if option.value:
            value = letters.removeprefix("=") if letters else _next(name, rest)
            values.setdefault(option.key, []).append(value)
            return
        if letters.startswith("="):
            _switch(option, name, letters[1:], values)
            return
        _switch(option, name, "true", values)


def _switch(option: Option, name: str, value: str, values: dict[str, list[str]]) -> None:
    if value not in _TRUE and value not in _FALSE:
        raise UsageError(f"{name} is a switch: {value!r} is neither true nor false")
    values.setdefault(option.key, []).append(value)


def _next(name: str, rest: list[str]) -> str:
    if not rest:
        raise UsageError(f"{name} needs a value")
    return rest.pop()


def _unknown(name: str, names: Mapping[str, Option], word: str = "") -> UsageError:
    within = f" in {word}" if word not in ("", name) else ""
    return UsageError(f"unknown option {name}{within}", hint=did_you_mean(name, names))


def did_you_mean(word: str, known: Mapping[str, object] | Sequence[str]) -> str:
    """A question with the nearest of the known words; empty where none is near."""
    from difflib import get_close_matches  # noqa: PLC0415  (only for a mistake)

    near = get_close_matches(word, list(known), n=1)
    return f"did you mean {near[0]}?" if near else ""
