"""`strategy.matrix` of a job → our matrix.

The product of the axes less `exclude` is the same. An `include` of GitHub's does two things: where it can, it adds
values to combinations that are there, and else it is a combination of its own (docs.github.com, "Running variations of
jobs"). Ours knows the second only, so a matrix with the first is written out, cell by cell. What is made of another
job's output (`fromJSON`) is made of that here, too.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping as Map
from typing import TYPE_CHECKING, Any

from ci.pipeline.github.triggers import entries
from ci.pipeline.nodes import Mapping, Scalar, Sequence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ci.pipeline.nodes import Node
    from ci.pipeline.source import Position

Cell = dict[str, str]
_FROM_JSON = re.compile(r"\$\{\{\s*fromjson\(\s*([\w.-]+)\s*\)\s*\}\}", re.IGNORECASE)
CELLS_LIMIT = 500  # as in a matrix of ours


def matrix(
    node: Node, note: Callable[[Position, str], None], output: Callable[[str], str | None] = lambda _: None
) -> tuple[dict[str, Any], Map[str, str]]:
    """The matrix, and the names of its variables by GitHub's; both empty where it cannot be taken over.

    `output` gives our name of another job's output.
    """
    if not isinstance(node, Mapping):
        if (source := _source(node, output)) is not None:
            return {"from_output": source}, _AsWritten()
        note(node.position, "a matrix that is an expression is not taken over")
        return {}, {}
    axes: dict[str, list[str]] = {}
    made: dict[str, dict[str, str]] = {}
    for entry in node.entries:
        if (source := _source(entry.value, output)) is not None:
            made[entry.key.value] = {"from_output": source}
        elif entry.key.value not in {"include", "exclude"}:
            axes[entry.key.value] = _values(entry.value, entry.key.value, note)
    include, exclude = (_cells(entries(node).get(key), note) for key in ("include", "exclude"))
    names = {name: variable(name) for name in (*made, *axes, *(name for cell in include for name in cell))}
    known = {key: set(values) for key, values in axes.items()}
    adds = any(set(cell) & set(axes) != set(axes) or all(cell[key] in known[key] for key in axes) for cell in include)
    if made or not (adds and axes):
        found: dict[str, Any] = {names[name]: values for name, values in (made | axes).items()}
        parts = {"include": include, "exclude": exclude}
        return found | {key: [_renamed(cell, names) for cell in cells] for key, cells in parts.items() if cells}, names
    combined = _combined(axes, include, exclude)
    return {"include": [_renamed(cell, names) for cell in combined[:CELLS_LIMIT]]}, names


class _AsWritten(Map[str, str]):
    """The names of a matrix that nobody knows yet: each is itself."""

    def __getitem__(self, name: str) -> str:
        return name

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _source(node: Node, output: Callable[[str], str | None]) -> str | None:
    """The output that `${{ fromJSON(needs.JOB.outputs.NAME) }}` names."""
    match = _FROM_JSON.fullmatch(node.value.strip()) if isinstance(node, Scalar) else None
    return output(match[1]) if match else None


def variable(name: str) -> str:
    """The name of a variable of the matrix: `node-version` is NODE_VERSION."""
    found = re.sub(r"\W", "_", name, flags=re.ASCII).upper()
    return f"_{found}" if found[:1].isdigit() else found


def _combined(axes: dict[str, list[str]], include: list[Cell], exclude: list[Cell]) -> list[Cell]:
    product = itertools.islice(itertools.product(*axes.values()), CELLS_LIMIT)
    originals = [dict(zip(axes, values, strict=True)) for values in product]
    originals = [cell for cell in originals if not any(one.items() <= cell.items() for one in exclude)]
    cells = [dict(cell) for cell in originals]
    more: list[Cell] = []
    for one in include:
        fitting = [
            index
            for index, cell in enumerate(originals)
            if all(cell[name] == value for name, value in one.items() if name in axes)
        ]
        for index in fitting:
            cells[index] |= one
        if not fitting:
            more.append(one)
    return cells + more


def _renamed(cell: Cell, names: dict[str, str]) -> Cell:
    return {names.get(name, variable(name)): value for name, value in cell.items()}


def _values(node: Node, name: str, note: Callable[[Position, str], None]) -> list[str]:
    items = node.items if isinstance(node, Sequence) else (node,)
    found = [item.value for item in items if isinstance(item, Scalar) and "${{" not in item.value]
    if len(found) < len(items):
        note(node.position, f"matrix: values of {name} that are no plain values are not taken over")
    return found


def _cells(node: Node | None, note: Callable[[Position, str], None]) -> list[Cell]:
    found = []
    for item in node.items if isinstance(node, Sequence) else ():
        plain = {name: value.value for name, value in entries(item).items() if isinstance(value, Scalar)}
        if len(plain) < len(entries(item)):
            note(item.position, "matrix: values that are no plain values are not taken over")
        found.append(plain)
    return found
