"""Mistakes in a Dockerfile, as values, and how they are shown.

The parser raises `Mistake` for what makes an instruction unusable and goes on with the next instruction; the checks add
warnings. All go into one `Report`, so that a user sees everything at once, in the order of the file. What is quoted
from the file is made harmless here: it may hold escape sequences for the terminal, or a megabyte on one line.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.dockerfile.source import Source, Span

DIAGNOSTICS_LIMIT = 500  # a file with more mistakes is no Dockerfile
_MESSAGE_LIMIT = 300  # characters
_EXCERPT_LIMIT = 160  # characters of the line, around the mistake
_EXCERPT_BEFORE = 60


class Severity(StrEnum):
    """An error stops the build; a warning is a build check's."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One finding. `code` is kebab-case for an error, the rule's published name for a check; `hint` is often empty."""

    code: str
    severity: Severity
    message: str
    hint: str
    span: Span

    def as_json(self) -> dict[str, object]:
        """Plain values for machine-readable output."""
        return {
            "code": self.code,
            "severity": self.severity.value,
            "message": self.message,
            "hint": self.hint,
            "line": self.span.line,
            "column": self.span.column,
        }


class Mistake(Exception):
    """An instruction cannot be read. `start` and `end` are offsets in its logical line; -1 stands for the whole of
    it.
    """

    def __init__(self, code: str, message: str, *, hint: str = "", start: int = -1, end: int = -1) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.start = start
        self.end = end


class Report:
    """Collects findings; the same one at the same place is kept once, and no more than `DIAGNOSTICS_LIMIT`."""

    def __init__(self) -> None:
        self._found: dict[tuple[object, ...], Diagnostic] = {}

    def error(self, code: str, span: Span, message: str, hint: str = "") -> None:
        """Add what stops a build."""
        self.add(Diagnostic(code=code, severity=Severity.ERROR, message=message, hint=hint, span=span))

    def warning(self, code: str, span: Span, message: str) -> None:
        """Add a build check's finding."""
        self.add(Diagnostic(code=code, severity=Severity.WARNING, message=message, hint="", span=span))

    def add(self, diagnostic: Diagnostic) -> None:
        """Add one that exists already."""
        if len(self._found) < DIAGNOSTICS_LIMIT:
            self._found.setdefault((diagnostic.span, diagnostic.code, diagnostic.message), diagnostic)

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """In the order of the file."""
        return tuple(sorted(self._found.values(), key=lambda one: one.span))


def closest(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant, else an empty string; case does not count."""
    if len(word) > 64:  # no name; comparing it would only take time
        return ""
    from difflib import get_close_matches  # noqa: PLC0415  only a file with a mistake needs it

    names = {name.lower(): name for name in known}
    found = get_close_matches(word.lower(), names, n=1, cutoff=0.7)
    return names[found[0]] if found else ""


def did_you_mean(word: str, known: Iterable[str], prefix: str = "") -> str:
    """A hint that names the closest known word, or nothing."""
    found = closest(word, known)
    return f"did you mean {prefix}{found}?" if found else ""


def printable(text: str) -> str:
    """The text with all that could steer a terminal, or not be seen, written as escapes."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def render(source: Source, diagnostics: Iterable[Diagnostic]) -> str:
    """Text for a terminal: each finding, its line of the file, the place marked, the hint. Ends in a line break."""
    return "".join(_render(source, one) for one in diagnostics)


def summary(diagnostics: Iterable[Diagnostic]) -> str:
    """How many there are: `2 errors, 1 warning`, or `no mistakes`."""
    severities = [one.severity for one in diagnostics]
    counted = [(severities.count(severity), severity.value) for severity in Severity]
    return ", ".join(f"{count} {name}{'s' if count > 1 else ''}" for count, name in counted if count) or "no mistakes"


def _render(source: Source, diagnostic: Diagnostic) -> str:
    span = diagnostic.span
    place = f"{printable(source.name)}:{span.line}:{span.column}"
    lines = [f"{place}: {diagnostic.severity}: {_cut(printable(diagnostic.message))} [{diagnostic.code}]"]
    number = str(span.line)
    margin = " " * len(number)
    if 1 <= span.line <= len(source.lines) and source.lines[span.line - 1].strip():
        before, marked, after = _excerpt(source.lines[span.line - 1], span)
        lines.append(f" {number} | {before}{marked}{after}")
        lines.append(f" {margin} | {' ' * len(before)}{'^' * max(1, len(marked))}")
    if diagnostic.hint:
        lines.append(f" {margin} = {_cut(printable(diagnostic.hint))}")
    return "\n".join(lines) + "\n"


def _excerpt(line: str, span: Span) -> tuple[str, str, str]:
    start = min(span.column - 1, len(line))
    end = span.end_column - 1 if span.end_line == span.line else len(line.rstrip())
    end = min(max(start, end), len(line))
    cut = max(0, min(start - _EXCERPT_BEFORE, len(line) - _EXCERPT_LIMIT))
    limit = cut + _EXCERPT_LIMIT
    parts = (line[cut:start], line[start : min(end, limit)], line[min(end, limit) : limit].rstrip())
    before, marked, after = (printable(part.replace("\t", "    ")) for part in parts)
    return ("…" if cut else "") + before, marked, after + ("…" if len(line) > limit else "")


def _cut(text: str) -> str:
    return text if len(text) <= _MESSAGE_LIMIT else text[: _MESSAGE_LIMIT - 1] + "…"
