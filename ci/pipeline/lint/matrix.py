"""The matrix: names, values, and how many cells it has."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ci.pipeline.matrix import CELL_LIMIT, cells, size
from ci.pipeline.values import BadValue, variable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from ci.pipeline.diagnostics import Report
    from ci.pipeline.document import Matrix
    from ci.pipeline.matrix import Cell
    from ci.pipeline.source import Text


def check_matrix(matrix: Matrix | None, known: Collection[str], report: Report) -> tuple[Cell, ...]:
    """Check a matrix; its cells, for the checks of values. At least one, whatever is wrong with it.

    `known` are the names of variables that have a value by themselves.
    """
    if matrix is None:
        return ({},)
    for axis in matrix.axes:
        _check_name(axis.name, known, report)
        if not axis.values and axis.source is None:
            report.error("empty-matrix", axis.name.position, f'"{axis.name.value}" has no values')
        _check_repeated(axis.values, report)
    axes = [axis.name.value for axis in matrix.axes]
    for cell in matrix.include:
        for entry in cell:
            _check_name(entry.name, known, report)
    for cell in matrix.exclude:
        for entry in cell:
            name = entry.name.value
            values = next(
                ([text.value for text in axis.values] for axis in matrix.axes if axis.name.value == name), None
            )
            if any(axis.name.value == name and axis.source for axis in matrix.axes) or matrix.source:
                continue
            if values is None:
                hint = report.suggester.did_you_mean(name, axes)
                report.error("undefined-variable", entry.name.position, f'"{name}" is no variable of the matrix', hint)
            elif entry.value.value not in values:
                message = f'"{name}" is never "{entry.value.value}": this excludes nothing'
                hint = report.suggester.did_you_mean(entry.value.value, values)
                report.warning("excludes-nothing", entry.value.position, message, hint)
    return _cells(matrix, report)


def _cells(matrix: Matrix, report: Report) -> tuple[Cell, ...]:
    if matrix.sources:  # the axes that the file has are checked without the others
        matrix = replace(matrix, axes=tuple(axis for axis in matrix.axes if axis.source is None), source=None)
        if not matrix.axes and not matrix.include:
            return ({},)
    count = size(matrix)
    if count > CELL_LIMIT:
        message = f"the matrix has {count} cells; {CELL_LIMIT} are allowed"
        report.error("matrix-too-large", matrix.position, message, 'use fewer values, or list the cells in "include"')
        return ({axis.name.value: axis.values[0].value for axis in matrix.axes if axis.values},)
    found = cells(matrix)
    if not found:
        if not any(not axis.values for axis in matrix.axes):
            report.error("empty-matrix", matrix.position, "the matrix has no cell left, so nothing would run")
        return ({axis.name.value: "" for axis in matrix.axes},)
    return found


def _check_name(text: Text, reserved: Collection[str], report: Report) -> None:
    try:
        variable(text.value)
    except BadValue as error:
        report.error(error.code, text.position, error.message, error.hint)
        return
    if text.value in reserved:
        report.warning(
            "reserved-variable", text.position, f'"{text.value}" hides the variable of that name', "choose another name"
        )


def _check_repeated(values: Iterable[Text], report: Report) -> None:
    seen: set[str] = set()
    for text in values:
        if text.value in seen:
            report.warning("repeated-value", text.position, f'"{text.value}" is here twice; its cells run once')
        seen.add(text.value)
