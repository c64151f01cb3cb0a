"""`when`: patterns that are well-formed, words that exist, variables that the matrix has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.pipeline.conditions import WORDS
from ci.pipeline.edits import Edit
from ci.pipeline.glob import Glob, GlobError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci.pipeline.diagnostics import Report
    from ci.pipeline.document import Condition, Document, Filter
    from ci.pipeline.source import Text

_GLOB_CHARACTERS = "*?[{"


def check_document(document: Document, report: Report) -> None:
    """Check the conditions of a document, its steps and its services."""
    axes = _axes(document)
    words = {**WORDS, "event": document.rules.events}
    check = _Check(axes, words, document.rules.lenient, report)
    check.open = document.matrix is not None and document.matrix.source is not None
    for condition in document.when:
        check.condition(condition)
    for step in (*document.clone.steps, *document.steps):
        for condition in step.when:
            check.condition(condition)
    for service in document.services:
        for condition in service.when:
            check.condition(condition)
            if status := condition.filters.get("status"):
                message = "a service has no status to wait for: it starts before the steps"
                check.mistake("bad-condition", status.position, message, "remove it")


def _axes(document: Document) -> dict[str, None]:
    matrix = document.matrix
    if matrix is None:
        return {}
    names = [axis.name.value for axis in matrix.axes]
    names += [entry.name.value for cell in matrix.include for entry in cell]
    return dict.fromkeys(names)


class _Check:
    """Checks the conditions of one document."""

    def __init__(
        self, axes: Mapping[str, None], words: Mapping[str, tuple[str, ...]], lenient: bool, report: Report
    ) -> None:
        self.axes = axes
        self.open = False  # the matrix may have others
        self.words = words
        self.report = report
        self.mistake = report.warning if lenient else report.error  # what never holds, but can be run

    def condition(self, condition: Condition) -> None:
        """One map of a `when`."""
        for fact, patterns in condition.filters.items():
            if fact in self.words:
                self._words(fact, patterns)
            else:
                self._globs(patterns)
        for axis, patterns in condition.matrix.items():
            if axis not in self.axes and not self.open:
                message = f'"{axis}" is no variable of the matrix'
                if not self.axes:
                    message = f'there is no matrix to take "{axis}" from'
                hint = self.report.suggester.did_you_mean(axis, self.axes)
                self.mistake("undefined-variable", patterns.position, message, hint)
            self._globs(patterns)
        if condition.evaluate is not None and "${" not in condition.evaluate.value:
            self._expression(condition.evaluate)

    def _words(self, fact: str, patterns: Filter) -> None:
        words = self.words[fact]
        for text in (*patterns.include, *patterns.exclude):
            if text.value in words or "${" in text.value:
                continue
            if any(character in text.value for character in _GLOB_CHARACTERS):
                hint = f'"{fact}" takes words, not patterns: {", ".join(words)}'
            else:
                hint = self.report.suggester.did_you_mean(text.value, words) or f"one of: {', '.join(words)}"
            meant = self.report.suggester.sure(text.value, words)
            fix = Edit(text.position, meant) if meant else None
            self.mistake("bad-condition", text.position, f'"{fact}" is never "{text.value}"', hint, fix)

    def _globs(self, patterns: Filter) -> None:
        for text in (*patterns.include, *patterns.exclude):
            try:
                Glob(text.value)
            except GlobError as error:
                self.report.error("bad-pattern", text.position, f'"{text.value}" is not a pattern: {error}')

    def _expression(self, text: Text) -> None:
        from ci.pipeline.expression import ExpressionError, parse  # noqa: PLC0415  (few files have one)

        try:
            parse(text.value)
        except ExpressionError as error:
            self.report.error("bad-expression", text.part(error.start, error.end).position, str(error), error.hint)
