"""Changes to the text of a pipeline file that a mistake suggests: what `ci-run lint --fix` does.

An Edit belongs to a diagnostic, and replaces a stretch of the file and nothing else, so that comments and layout stay.
Only what is sure is one: a key that differs in a letter from the one key that fits, a form of Woodpecker's that has
another name now, a character that nobody sees. `nested` and `environment_of` write the newer forms; `applied` changes a
text. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ci.pipeline.source import LINE_BREAK, Position

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ci.pipeline.nodes import Entry
    from ci.pipeline.source import Text


class Edit(NamedTuple):
    """`text` in the place of what is at `position`; line breaks in it are single line feeds."""

    position: Position
    text: str


def applied(text: str, edits: Iterable[Edit]) -> str:
    """The text with all edits made; of two that overlap the first in the file."""
    starts = [0, *(match.end() for match in LINE_BREAK.finditer(text))]
    line_break = "\r\n" if "\r\n" in text else "\n"
    parts: list[str] = []
    last = 0
    for edit in sorted(set(edits)):
        start = starts[edit.position.line - 1] + edit.position.column - 1
        end = starts[edit.position.end_line - 1] + edit.position.end_column - 1
        if start >= last:
            parts += (text[last:start], edit.text.replace("\n", line_break))
            last = end
    return "".join((*parts, text[last:]))


def nested(lines: Sequence[str], entry: Entry, outer: str, inner: str) -> Edit | None:
    """`key: value` as `inner: value` below a new key `outer`; None where it stands in braces."""
    position = _block(lines, entry)
    if position is None:
        return None
    indent = " " * (position.column - 1)
    key = entry.key.position
    rest = lines[key.line - 1][key.end_column - 1 :]
    more = [f"  {line}" if line.strip() else line for line in lines[key.line : position.end_line]]
    return Edit(position, "\n".join((f"{outer}:", f"{indent}  {inner}{rest}", *more)))


def environment_of(lines: Sequence[str], entry: Entry, secrets: Iterable[tuple[Text, Text]]) -> Edit | None:
    """A list `secrets` as an `environment` of the same variables and secrets; comments in between would be lost."""
    position = _block(lines, entry)
    if position is None or any("#" in line for line in lines[position.line - 1 : position.end_line]):
        return None
    indent = " " * (position.column - 1)
    found = [f"{indent}  {name.value}:\n{indent}    from_secret: {secret.value}" for name, secret in secrets]
    return Edit(position, "\n".join(("environment:", *found)))


def spaces_for_tabs(text: str) -> str:
    """The text with spaces in place of the tabs that lines begin with, as many as the file indents by."""
    lines = text.splitlines(keepends=True)
    depths = (len(line) - len(line.lstrip(" ")) for line in lines if line.strip() and line[0] == " ")
    unit = " " * min(depths, default=2)

    def changed(line: str) -> str:
        rest = line.lstrip("\t ")
        return line[: len(line) - len(rest)].replace("\t", unit) + rest

    return "".join(changed(line) if line.startswith("\t") and line.strip() else line for line in lines)


def _block(lines: Sequence[str], entry: Entry) -> Position | None:
    """Where a key and its value are, to the end of the last line; None where something else is on those lines."""
    key = entry.key.position
    before = lines[key.line - 1][: key.column - 1]
    if before.strip(" ") not in {"", "-"} or key.file:
        return None
    indent = key.column - 1
    end = key.line
    for number, line in enumerate(lines[key.line :], key.line + 1):
        stripped = line.lstrip(" ")
        depth = len(line) - len(stripped)
        if not stripped or stripped[0] == "#":
            continue
        if depth > indent or (depth == indent and stripped[:2] in {"- ", "-"}):
            end = number
        else:
            break
    return Position(key.line, key.column, end, len(lines[end - 1]) + 1)
