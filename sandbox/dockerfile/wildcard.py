"""Wild cards of paths as Go has them: for COPY's sources, `.dockerignore` and `--exclude`.

`*` and `?` stay within a name, `[a-z]` and `[^a-z]` are classes, a backslash takes the next character literally; in
patterns of ignore files `**` is any number of folders. Sources: Go's `path/filepath.Match`, moby's patternmatcher. A
pattern becomes a regular expression that does not go back over a name: of several stars in one, all but the last take
as little as they can, for good.
"""

from __future__ import annotations

import re


class WildcardError(ValueError):
    """The pattern is malformed."""


def has_wildcard(text: str) -> bool:
    """Whether `*`, `?` or `[` stands in it without a backslash."""
    position = 0
    while position < len(text):
        if text[position] in "*?[":
            return True
        position += 2 if text[position] == "\\" else 1
    return False


def unescape(text: str) -> str:
    """A name without wild cards, its backslashes taken away."""
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def name_pattern(text: str) -> re.Pattern[str]:
    """One name's pattern; it has no slash. WildcardError where Go has a syntax error."""
    return re.compile(_expression(text), re.DOTALL)


def path_pattern(text: str) -> re.Pattern[str]:
    """An ignore file's pattern, with `**`. To be used with `fullmatch`."""
    return re.compile(_expression(text), re.DOTALL)


def _expression(text: str) -> str:
    result: list[str] = []
    star = -1  # where in `result` the last star of this name stands
    position = 0
    while position < len(text):
        character = text[position]
        position += 1
        if text.startswith("**", position - 1):
            position += 1
            if text.startswith("/", position):
                position += 1
            result.append("(?:.*/)?" if position < len(text) else ".*")
            star = -1
        elif character == "*":
            if star >= 0:  # the one before takes as little as it can, and keeps it
                result[star:] = ["(?>[^/]*?", *result[star + 1 :], ")"]
            star = len(result)
            result.append("[^/]*")
        elif character == "?":
            result.append("[^/]")
        elif character == "[":
            item, position = _class(text, position)
            result.append(item)
        elif character == "\\":
            if position == len(text):
                raise WildcardError(f"the pattern {text!r} ends with a backslash")
            result.append(re.escape(text[position]))
            position += 1
        else:
            star = -1 if character == "/" else star
            result.append(re.escape(character))
    return "".join(result)


def _class(text: str, position: int) -> tuple[str, int]:
    """What is behind a bracket, as an expression, and the position behind its end."""
    negated = text.startswith("^", position)
    position += negated
    items: list[str] = []
    while not text.startswith("]", position) or not items:
        first, position = _member(text, position)
        last = first
        if text.startswith("-", position):
            last, position = _member(text, position + 1)
        if first <= last:  # an empty range is no mistake, it just never fits
            items.append(f"{re.escape(first)}-{re.escape(last)}")
        else:
            items.append("")
    inner = "".join(items)
    if not inner:
        return ("[^/]" if negated else r"(?!)"), position + 1
    return (f"[^/{inner}]" if negated else f"(?!/)[{inner}]"), position + 1


def _member(text: str, position: int) -> tuple[str, int]:
    if text.startswith("\\", position):
        position += 1
    elif text.startswith(("]", "-"), position):
        raise WildcardError(f"the class in {text!r} is malformed")
    if position >= len(text):
        raise WildcardError(f"a bracket of {text!r} is not closed")
    return text[position], position + 1
