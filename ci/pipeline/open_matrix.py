"""Matrices whose values a step of an earlier Stage writes: known only while a build runs.

Such a document compiles to one StageSpec with `cells_from`, which says what the steps are and what they want (secrets,
trust), but cannot be run. When the Stages before it are over, `expand` makes of it the Stages that it becomes: the same
that a matrix written in the file would have given. An output is JSON: for an axis a list of single values, for a whole
matrix a map of axes to lists, or a list of maps, each a cell. It is a stranger's data: read with limits, and of
characters that can be shown. Pure; called by `compile`, and by whoever runs builds.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ci.pipeline import compile as compiling
from ci.pipeline import outputs, values
from ci.pipeline.document import Axis, Variable
from ci.pipeline.matrix import CELL_LIMIT, size
from ci.pipeline.outputs import OutputError
from ci.pipeline.source import NOWHERE, Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci.pipeline.document import Document, Matrix
    from ci.pipeline.event import Event
    from ci.pipeline.outputs import Reference
    from ci.pipeline.spec import StageSpec

_LONGEST = 200  # characters of a value


def expand(
    documents: Sequence[Document],
    stage: StageSpec,
    event: Event,
    written: Mapping[Reference, str],
    *,
    first: int,
    number: int = 1,
    machine: str = "",
) -> tuple[StageSpec, ...]:
    """The Stages of the cells, numbered from `first`; none where there are no cells, or no `when` holds.

    `written` are the outputs that the Stage's `cells_from` names. Raises OutputError, CompileError.
    """
    document = next(one for one in documents if one.title == stage.name)
    if document.matrix is None:
        raise OutputError("there is no matrix")
    matrix = _resolved(document.matrix, written)
    if size(matrix) > CELL_LIMIT:
        raise OutputError(f"the matrix would have {size(matrix)} cells; {CELL_LIMIT} are allowed")
    cells = compiling.compile(replace(document, matrix=matrix), event, number=number, first=first, machine=machine)
    return tuple(replace(cell, depends_on=stage.depends_on) for cell in cells)


def _resolved(matrix: Matrix, written: Mapping[Reference, str]) -> Matrix:
    axes = tuple(
        axis if axis.source is None else Axis(axis.name, _values(_read(axis.source, written), axis.name.value))
        for axis in matrix.axes
    )
    include = matrix.include
    if matrix.source is not None:
        found = _read(matrix.source, written)
        if isinstance(found, dict):
            axes += tuple(Axis(_name(name), _values(value, name)) for name, value in found.items())
        elif isinstance(found, list) and all(isinstance(cell, dict) for cell in found):
            include += tuple(
                tuple(Variable(_name(name), _value(value, name)) for name, value in cell.items()) for cell in found
            )
        else:
            raise OutputError(f"{matrix.source.value} is neither a map of lists nor a list of maps")
    return replace(matrix, axes=axes, include=include, source=None)


def _read(source: Text, written: Mapping[Reference, str]) -> Any:
    try:
        # Numbers stay as they are written, as everywhere in a pipeline.
        return json.loads(written[outputs.reference(source.value)], parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError):
        raise OutputError(f"{source.value} is not JSON") from None


def _values(found: Any, name: str) -> tuple[Text, ...]:
    if not isinstance(found, list):
        raise OutputError(f"the values of {name} are not a list")
    return tuple(_value(one, name) for one in found)


def _value(found: Any, name: str) -> Text:
    if isinstance(found, bool):
        return Text("true" if found else "false", NOWHERE)
    if not isinstance(found, str) or not found.isprintable() or len(found) > _LONGEST:
        raise OutputError(f"a value of {name} is not one line of at most {_LONGEST} characters")
    return Text(found, NOWHERE)


def _name(name: str) -> Text:
    try:
        return Text(values.variable(name[:_LONGEST]), NOWHERE)
    except values.BadValue as error:
        raise OutputError(f"a matrix: {error.message!r}") from None
