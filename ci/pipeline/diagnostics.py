"""Mistakes in a pipeline file, as values, and how they are shown.

Every stage of reading (text, YAML, dialect, lint) puts what it finds into one `Report`, so that a user sees all
mistakes at once, in the file's order. What is quoted from the file is made harmless here, in one place: it may hold
escape sequences for the terminal, or a megabyte on one line.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from ci.pipeline.source import Position
from ci.pipeline.suggest import Suggester

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ci.pipeline.edits import Edit
    from ci.pipeline.source import Source

DIAGNOSTICS_LIMIT = 1000  # a file with more mistakes is no pipeline file
_MESSAGE_LIMIT = 300  # characters
_EXCERPT_LIMIT = 160  # characters of the line, around the mistake
_EXCERPT_BEFORE = 60
_TAB = "    "

_COLOURS = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "info": "\x1b[1;36m"}
_BOLD = "\x1b[1m"
_DIM = "\x1b[2m"
_RESET = "\x1b[0m"


class Severity(StrEnum):
    """An error stops the pipeline from running; a warning is likely not what was meant; an info is good to know."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """A line of the file, made printable and cut to a readable length; the mistake is `text[start:end]`."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One mistake. `code` is kebab-case and stable; `hint`, often empty, says what to do."""

    code: str
    severity: Severity
    message: str
    hint: str = ""
    filename: str
    position: Position
    excerpt: Excerpt
    fix: Edit | None = None  # what would correct it, where that is sure

    def as_json(self) -> dict[str, object]:
        """The form of `ci-run lint --json`: plain values, lines and columns from 1, the end exclusive.

        `fix` is what `--fix` would write, where that is sure, and mostly in the place of the mistake.
        """
        return {
            "code": self.code,
            "severity": self.severity.value,
            "message": self.message,
            "hint": self.hint,
            "file": self.filename,
            "line": self.position.line,
            "column": self.position.column,
            "end_line": self.position.end_line,
            "end_column": self.position.end_column,
            "excerpt": self.excerpt.text,
            "fix": self.fix.text if self.fix else None,
        }


class _Included(NamedTuple):
    """A template: its text, and which line includes it."""

    source: Source
    by: str
    is_the_projects: bool


class Report:
    """Collects diagnostics. The same one (a place reached twice through an alias) is kept once."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._included: list[_Included] = []  # by Position.file, from 1
        self.suggester = Suggester()
        self._found: dict[tuple[Position, str, str], Diagnostic] = {}

    def include(self, source: Source, position: Position, *, is_the_projects: bool = True) -> int:
        """A file that is included at a position; returns its number, for the positions in it.

        One that is not the project's, but as git has it somewhere, cannot be corrected.
        """
        by = f"included in {self._source(position.file).filename}:{position.line}"
        self._included.append(_Included(source, by, is_the_projects))
        return len(self._included)

    def _source(self, file: int) -> Source:
        return self._included[file - 1].source if file else self.source

    def error(self, code: str, position: Position, message: str, hint: str = "", fix: Edit | None = None) -> None:
        """Add an error; positions are those of the source."""
        self._add(code, Severity.ERROR, position, message, hint, fix)

    def warning(self, code: str, position: Position, message: str, hint: str = "", fix: Edit | None = None) -> None:
        """Add a warning."""
        self._add(code, Severity.WARNING, position, message, hint, fix)

    def info(self, code: str, position: Position, message: str, hint: str = "", fix: Edit | None = None) -> None:
        """Add what is good to know."""
        self._add(code, Severity.INFO, position, message, hint, fix)

    @property
    def failed(self) -> bool:
        """Whether there is an error."""
        return any(diagnostic.severity is Severity.ERROR for diagnostic in self._found.values())

    @property
    def full(self) -> bool:
        """Whether nothing more is taken: then looking for more is a waste."""
        return len(self._found) > DIAGNOSTICS_LIMIT

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """In the order of the file, those of included files after it."""
        return tuple(sorted(self._found.values(), key=lambda one: (one.position.file, *one.position[:2])))

    def _add(
        self, code: str, severity: Severity, position: Position, message: str, hint: str, fix: Edit | None
    ) -> None:
        key = (position, code, message)
        if key in self._found or self.full:
            return
        if len(self._found) == DIAGNOSTICS_LIMIT:
            # Placed behind all others, wherever they are.
            position = Position(len(self.source.lines), 2**31, len(self.source.lines), 2**31)
            key, code, severity = (position, "too-many", ""), "too-many", Severity.ERROR
            fix = None
            message, hint = f"more than {DIAGNOSTICS_LIMIT} mistakes; the rest is not shown", ""
        source = self._source(position.file)
        if position.file:
            included = self._included[position.file - 1]
            hint = "; ".join(part for part in (hint, included.by) if part)
            fix = fix if included.is_the_projects else None
        self._found[key] = Diagnostic(
            code=code,
            severity=severity,
            message=_cut(printable(message)),
            hint=_cut(printable(hint)),
            filename=source.filename,
            position=position,
            excerpt=_excerpt(source.lines, position),
            fix=fix,
        )


def render(diagnostics: Iterable[Diagnostic], *, colour: bool = False) -> str:
    """The diagnostics as text for a terminal:

    each with its line of the file and the mistake underlined. Ends in a line break.
    """
    return "".join(_render(diagnostic, colour) for diagnostic in diagnostics)


def summary(diagnostics: Iterable[Diagnostic]) -> str:
    """How many there are: `2 errors, 1 warning`; infos are not counted, and none is `no mistakes`."""
    severities = [diagnostic.severity for diagnostic in diagnostics]
    parts = []
    for severity in (Severity.ERROR, Severity.WARNING):
        if count := severities.count(severity):
            parts.append(f"{count} {severity}{'s' if count > 1 else ''}")
    return ", ".join(parts) or "no mistakes"


def printable(text: str) -> str:
    """The text with all that could steer a terminal, or not be seen, written as escapes."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escape(character) for character in text)


def _escape(character: str) -> str:
    named = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character)
    code = ord(character)
    return named or (f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}")


def _cut(text: str) -> str:
    return text if len(text) <= _MESSAGE_LIMIT else text[: _MESSAGE_LIMIT - 1] + "…"


def _excerpt(lines: Sequence[str], position: Position) -> Excerpt:
    if not 1 <= position.line <= len(lines):
        return Excerpt(text="", start=0, end=0)
    line = lines[position.line - 1]
    start = min(position.column - 1, len(line))
    end = position.end_column - 1 if position.end_line == position.line else len(line)
    end = min(max(end, start), len(line))
    before, after = "", ""
    if len(line) > _EXCERPT_LIMIT:
        cut = max(0, min(start - _EXCERPT_BEFORE, len(line) - _EXCERPT_LIMIT))
        before, after = "…" if cut else "", "…" if cut + _EXCERPT_LIMIT < len(line) else ""
        line = line[cut : cut + _EXCERPT_LIMIT]
        start, end = start - cut, min(end - cut, _EXCERPT_LIMIT)
    head, marked, tail = (
        printable(part.replace("\t", _TAB)) for part in (line[:start], line[start:end], line[end:].rstrip())
    )
    head = before + head
    return Excerpt(text=head + marked + tail + after, start=len(head), end=len(head) + len(marked))


def _render(diagnostic: Diagnostic, colour: bool) -> str:
    position, excerpt = diagnostic.position, diagnostic.excerpt
    accent, bold, dim, reset = (_COLOURS[diagnostic.severity], _BOLD, _DIM, _RESET) if colour else ("", "", "", "")
    place = f"{printable(diagnostic.filename)}:{position.line}:{min(position.column, 10**6)}:"
    result = (
        f"{bold}{place}{reset} {accent}{diagnostic.severity}:{reset} {bold}{diagnostic.message}{reset} "
        f"{dim}[{diagnostic.code}]{reset}\n"
    )
    number = str(position.line)
    margin = " " * len(number)
    if excerpt.text.strip():
        indent = " " * _width(excerpt.text[: excerpt.start])
        carets = "^" * max(1, _width(excerpt.text[excerpt.start : excerpt.end]))
        result += f" {dim}{number} |{reset} {excerpt.text}\n {dim}{margin} |{reset} {indent}{accent}{carets}{reset}\n"
    if diagnostic.hint:
        result += f" {dim}{margin} ={reset} {diagnostic.hint}\n"
    return result


def _width(text: str) -> int:
    """Columns on a terminal: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width  # noqa: PLC0415  not needed for most files

    return sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in text)
