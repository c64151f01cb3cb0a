"""The text of a Dockerfile and places in it.

Everything that reads a Dockerfile says where it found something by a `Span`, so that a mistake can be shown in the
user's own line. Lines and columns count from 1, columns in characters; ends are exclusive.
"""

from __future__ import annotations

from sandbox.records import NamedTuple


class Span(NamedTuple):
    """A stretch of the file."""

    line: int
    column: int
    end_line: int
    end_column: int


class Source(NamedTuple):
    """A Dockerfile's name, as the user typed it, and its lines without their ends."""

    name: str
    lines: tuple[str, ...]

    def line_span(self, line: int) -> Span:
        """A whole line, without the blanks around its text."""
        text = self.lines[line - 1] if 1 <= line <= len(self.lines) else ""
        stripped = text.strip()
        column = text.find(stripped) + 1 if stripped else 1
        return Span(line, column, line, column + len(stripped))


def is_space(character: str) -> bool:
    """Whether Go's `unicode.IsSpace` says so: Python's `isspace` also takes the four separators of ASCII."""
    return character.isspace() and not "\x1c" <= character <= "\x1f"
