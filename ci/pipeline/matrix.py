"""The cells of a matrix: each is one Stage.

The product of the axes in the file's order (the last one turns fastest), less the cells that an `exclude` entry
describes (a cell that agrees with it in all the entry names), and then the `include` entries, each a cell of its own
unless it is there already. So a matrix of `include` alone means what it means in Woodpecker.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ci.pipeline.document import Matrix

CELL_LIMIT = 500

Cell = dict[str, str]


def size(matrix: Matrix) -> int:
    """How many cells there may be, before any is made:

    the product of the axes and the included ones, whatever is excluded.
    """
    axes = prod(len(axis.values) for axis in matrix.axes) if matrix.axes else 0
    return axes + len(matrix.include)


def cells(matrix: Matrix | None) -> tuple[Cell, ...]:
    """The cells, in order; one empty cell where there is no matrix. Raises ValueError beyond CELL_LIMIT."""
    if matrix is None:
        return ({},)
    if size(matrix) > CELL_LIMIT:
        raise ValueError(f"the matrix has {size(matrix)} cells; the limit is {CELL_LIMIT}")
    names = [axis.name.value for axis in matrix.axes]
    excluded = [{entry.name.value: entry.value.value for entry in cell} for cell in matrix.exclude]
    result: dict[tuple[tuple[str, str], ...], Cell] = {}
    if names:
        for values in product(*([text.value for text in axis.values] for axis in matrix.axes)):
            cell = dict(zip(names, values, strict=True))
            if not any(entry and entry.items() <= cell.items() for entry in excluded):
                result.setdefault(_key(cell), cell)
    for included in matrix.include:
        cell = {entry.name.value: entry.value.value for entry in included}
        result.setdefault(_key(cell), cell)
    return tuple(result.values())


def _key(cell: Cell) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(cell.items()))
