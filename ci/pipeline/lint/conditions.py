"""`when`: patterns that are well-formed, words that exist, variables that the matrix has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.pipeline.conditions import WORDS
from ci.pipeline.glob import Glob, GlobError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci.pipeline.diagnostics import Report
    from ci.pipeline.document import Condition, Document, Filter

_GLOB_CHARACTERS = "*?[{"


def check_document(document: Document, report: Report) -> None:
    """Check the conditions of a document, its steps and its services."""
    axes = _axes(document)
    for condition in document.when:
        _check(condition, axes, report)
    for step in document.steps:
        for condition in step.when:
            _check(condition, axes, report)
    for service in document.services:
        for condition in service.when:
            _check(condition, axes, report)
            if status := condition.filters.get("status"):
                message = "a service has no status to wait for: it starts before the steps"
                report.error("bad-condition", status.position, message, "remove it")


def _axes(document: Document) -> dict[str, None]:
    matrix = document.matrix
    if matrix is None:
        return {}
    names = [axis.name.value for axis in matrix.axes]
    names += [entry.name.value for cell in matrix.include for entry in cell]
    return dict.fromkeys(names)


def _check(condition: Condition, axes: Mapping[str, None], report: Report) -> None:
    for fact, patterns in condition.filters.items():
        if fact in WORDS:
            _check_words(fact, patterns, report)
        else:
            _check_globs(patterns, report)
    for axis, patterns in condition.matrix.items():
        if axis not in axes:
            message = f'"{axis}" is no variable of the matrix' if axes else f'there is no matrix to take "{axis}" from'
            report.error("undefined-variable", patterns.position, message, report.suggester.did_you_mean(axis, axes))
        _check_globs(patterns, report)


def _check_words(fact: str, patterns: Filter, report: Report) -> None:
    words = WORDS[fact]
    for text in (*patterns.include, *patterns.exclude):
        if text.value in words:
            continue
        if any(character in text.value for character in _GLOB_CHARACTERS):
            hint = f'"{fact}" takes words, not patterns: {", ".join(words)}'
        else:
            hint = report.suggester.did_you_mean(text.value, words) or f"one of: {', '.join(words)}"
        report.error("bad-condition", text.position, f'"{fact}" is never "{text.value}"', hint)


def _check_globs(patterns: Filter, report: Report) -> None:
    for text in (*patterns.include, *patterns.exclude):
        try:
            Glob(text.value)
        except GlobError as error:
            report.error("bad-pattern", text.position, f'"{text.value}" is not a pattern: {error}')
