"""What the operators of `${name…}` make of a value: those of drone's and Woodpecker's substitution.

Pure, called by `envsubst`. The operators are bash's (Bash Reference Manual, 3.5.3) as far as those systems know them,
with their differences: all of `=`, `:=`, `:-`, `-`, `:+`, `+`, `:?` and `?` give a default for a value that is empty,
and `/` replaces text, not patterns. Patterns of `#` and `%` are matched in one pass, whatever they are: a state of the
pattern is a bit of a number, so a hostile pattern costs no more than its length.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

DEFAULTS = ("=", ":=", ":-", "-", ":+", "+", ":?", "?")
# Longest first: how they are looked for.
OPERATORS = (":=", ":-", ":+", ":?", "##", "%%", "//", "/#", "/%", "^^", ",,", *"#%/^,:=-+?")

_PATTERN = re.compile(r"\\(?P<escaped>.)|\[(?P<set>[!^]?\]?[^\]]*)\]|(?P<special>[*?])|(?P<plain>.)", re.DOTALL)
_RANGE = re.compile(r"(.)-(.)|(.)", re.DOTALL)
_ANY = "*"


class OperatorError(ValueError):
    """Words that an operator cannot use; the message is for the user."""


def separator(operator: str) -> str:
    """What stands between the words of an operator, or empty where it takes one word only."""
    return "/" if operator.startswith("/") else ":" if operator == ":" else ""


def apply(operator: str, value: str, words: Sequence[str]) -> str:
    """The value after the operator. Raises OperatorError."""
    if operator in DEFAULTS:
        return value or words[0]
    if operator == ":":
        return _slice(value, words[0], words[1] if len(words) > 1 else None)
    if operator[0] in "#%":
        return _trimmed(operator, value, words[0])
    if operator[0] == "/":
        old, new = (*words, "")[:2]
        return _replaced(operator, value, old, new) if old else value
    return _CHANGES[operator](value)


# The operators without a word; `length` is `${#name}`.
_CHANGES: Mapping[str, Callable[[str], str]] = {
    "length": lambda value: str(len(value)),
    "^": lambda value: value[:1].upper() + value[1:],
    "^^": str.upper,
    ",": lambda value: value[:1].lower() + value[1:],
    ",,": str.lower,
}


def _trimmed(operator: str, value: str, pattern: str) -> str:
    longest = len(operator) > 1
    if operator[0] == "#":
        return value[_chosen(_ends(_atoms(pattern), value), longest=longest) :]
    return value[: len(value) - _chosen(_ends(_atoms(pattern)[::-1], value[::-1]), longest=longest)]


def _replaced(operator: str, value: str, old: str, new: str) -> str:
    if operator == "/#":
        return new + value[len(old) :] if value.startswith(old) else value
    if operator == "/%":
        return value[: len(value) - len(old)] + new if value.endswith(old) else value
    return value.replace(old, new, 1 if operator == "/" else -1)


def _slice(value: str, start: str, length: str | None) -> str:
    try:
        begin = int(start or "0")
        count = None if length is None else int(length or "0")
    except ValueError:
        raise OperatorError("a part is given by numbers: ${NAME:start} or ${NAME:start:length}") from None
    if begin < 0:
        begin = max(0, len(value) + begin)
    if count is None:
        return value[begin:]
    return value[begin : begin + count] if count >= 0 else value[begin:count]


def _chosen(ends: Iterator[int], *, longest: bool) -> int:
    if not longest:
        return next(ends, 0)
    end = 0
    for end in ends:  # noqa: B007  (the last one)
        pass
    return end


def _atoms(pattern: str) -> list[Callable[[str], bool] | str]:
    """The parts of a pattern: `*`, or a test of one character."""
    atoms: list[Callable[[str], bool] | str] = []
    for match in _PATTERN.finditer(pattern):
        if match["special"] == "*":
            if not atoms or atoms[-1] != _ANY:
                atoms.append(_ANY)
        elif match["special"]:
            atoms.append(lambda _: True)
        elif match["set"] is not None:
            atoms.append(_set(match["set"]))
        else:
            atoms.append((match["escaped"] or match["plain"]).__eq__)
    return atoms


def _set(text: str) -> Callable[[str], bool]:
    negated = text[:1] in {"!", "^"}
    ranges = [(low or one, high or one) for low, high, one in _RANGE.findall(text[1:] if negated else text)]
    return lambda character: any(low <= character <= high for low, high in ranges) != negated


def _ends(atoms: Sequence[Callable[[str], bool] | str], value: str) -> Iterator[int]:
    """The lengths of the value's beginnings that the pattern matches, in order."""
    accepts = 1 << len(atoms)
    stars = sum(1 << index for index, atom in enumerate(atoms) if atom == _ANY)
    steps = {}  # by character: the states from which it may be read
    states = _through_stars(1, stars)
    if states & accepts:
        yield 0
    for index, character in enumerate(value, 1):
        if character not in steps:
            steps[character] = sum(
                1 << place for place, atom in enumerate(atoms) if not isinstance(atom, str) and atom(character)
            )
        states = _through_stars((states & stars) | ((states & steps[character]) << 1), stars)
        if states & accepts:
            yield index
        if not states:
            return


def _through_stars(states: int, stars: int) -> int:
    """A `*` may match nothing. No two of them stand side by side."""
    return states | ((states & stars) << 1)
