"""The patterns in `${name#pattern}`, `${name%pattern}` and `${name/pattern/text}`.

`*` is any text, `?` any character, a backslash takes the next of `*?\\}/` literally. There are no brackets: BuildKit
has none. Matching takes time in proportion to value and pattern, whatever stars there are, because a Dockerfile may be
anybody's: the pattern is cut at its stars, and each piece is looked for once.
"""

from __future__ import annotations

import re


class PatternError(ValueError):
    """The pattern has an escape that means nothing."""


def trim_prefix(pattern: str, value: str, *, greedy: bool) -> str:
    """The value without the shortest, or longest, beginning that fits the pattern."""
    found = _find(_pieces(pattern), value, 0, greedy=greedy, anchored=True)
    return value[found[1] :] if found else value


def trim_suffix(pattern: str, value: str, *, greedy: bool) -> str:
    """The value without the shortest, or longest, end that fits the pattern."""
    backwards = [piece[::-1] for piece in reversed(_pieces(pattern))]
    found = _find(backwards, value[::-1], 0, greedy=greedy, anchored=True)
    return value[: len(value) - found[1]] if found else value


def replace(pattern: str, value: str, replacement: str, *, every: bool) -> str:
    """The value with the first, or every, longest text that fits the pattern replaced."""
    pieces = _pieces(pattern)
    result, position = [], 0
    while position <= len(value):
        found = _find(pieces, value, position, greedy=True, anchored=False)
        if found is None:
            break
        start, end = found
        result += [value[position:start], replacement]
        position = end
        if end == start:  # nothing was matched: go on behind the next character
            result.append(value[end : end + 1])
            position += 1
        if not every or (position == len(value) and end > start):
            break
    return "".join(result) + value[position:]


def _pieces(pattern: str) -> list[list[str]]:
    """The literal pieces between the stars; an empty string in a piece stands for any character."""
    pieces: list[list[str]] = [[]]
    characters = iter(pattern)
    for character in characters:
        if character == "*":
            pieces.append([])
        elif character == "?":
            pieces[-1].append("")
        elif character == "\\":
            escaped = next(characters, "")
            if escaped not in ("*", "?", "\\", "}", "/"):
                raise PatternError(f"invalid escape '\\{escaped}'")
            pieces[-1].append(escaped)
        else:
            pieces[-1].append(character)
    return pieces


def _find(pieces: list[list[str]], value: str, start: int, *, greedy: bool, anchored: bool) -> tuple[int, int] | None:
    compiled = [re.compile("".join(re.escape(one) if one else "." for one in piece), re.DOTALL) for piece in pieces]
    match = compiled[0].match(value, start) if anchored else compiled[0].search(value, start)
    if match is None:
        return None
    begin, end = match.span()
    for piece in compiled[1:]:  # each as early as possible: if these do not fit, nothing does
        match = piece.search(value, end)
        if match is None:
            return None
        last, end = match.span()
    if greedy and len(pieces) > 1:  # the last star may take more: up to the last place where its piece fits
        length = len(pieces[-1])
        at = next(at for at in range(len(value) - length, last - 1, -1) if compiled[-1].match(value, at))
        end = at + length
    return begin, end
