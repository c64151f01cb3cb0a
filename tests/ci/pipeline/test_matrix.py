"""The cells of a matrix."""

from __future__ import annotations

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.pipeline.document import Axis, Matrix, Variable
from ci.pipeline.matrix import CELL_LIMIT, cells, size
from ci.pipeline.source import Text


def make(
    axes: dict[str, list[str]], include: list[dict[str, str]] | None = None, exclude: list[dict[str, str]] | None = None
) -> Matrix:
    """A matrix of plain values."""

    def entries(some: list[dict[str, str]] | None) -> tuple[tuple[Variable, ...], ...]:
        return tuple(tuple(Variable(name=Text(k), value=Text(v)) for k, v in cell.items()) for cell in some or [])

    found = tuple(Axis(name=Text(name), values=tuple(map(Text, values))) for name, values in axes.items())
    return Matrix(axes=found, include=entries(include), exclude=entries(exclude))


def test_no_matrix() -> None:
    """Without a matrix there is one cell, without variables."""
    assert cells(None) == ({},)


def test_product_in_order() -> None:
    """The last axis turns fastest."""
    found = [tuple(cell.values()) for cell in cells(make({"A": ["1", "2"], "B": ["x", "y"]}))]
    assert found == [("1", "x"), ("1", "y"), ("2", "x"), ("2", "y")]


def test_exclude_and_include() -> None:
    """`exclude` takes every cell that agrees with it; `include` is one more cell, or none if it is there."""
    matrix = make(
        {"A": ["1", "2"], "B": ["x", "y"]},
        include=[{"A": "2", "B": "x"}, {"A": "3"}, {"A": "1", "B": "y"}],
        exclude=[{"A": "1"}, {"B": "nothing"}, {}],
    )
    assert cells(matrix) == ({"A": "2", "B": "x"}, {"A": "2", "B": "y"}, {"A": "3"}, {"A": "1", "B": "y"})


def test_include_alone() -> None:
    """A matrix of `include` alone has those cells, as in Woodpecker."""
    assert cells(make({}, include=[{"A": "1"}, {"B": "2"}])) == ({"A": "1"}, {"B": "2"})


def test_limit() -> None:
    """The limit is seen before any cell is made."""
    with pytest.raises(ValueError, match=str(CELL_LIMIT)):
        cells(make({name: [str(n) for n in range(1000)] for name in "ABCDEFGH"}))


@given(st.dictionaries(st.sampled_from("ABC"), st.lists(st.sampled_from("123"), min_size=1, max_size=3), max_size=3))
def test_every_combination_once(axes: dict[str, list[str]]) -> None:
    """There are as many cells as combinations of different values, all different."""
    found = cells(make(axes))
    assert len({tuple(sorted(cell.items())) for cell in found}) == len(found)
    assert len(found) == (prod(len(set(values)) for values in axes.values()) if axes else 0)
    assert len(found) <= size(make(axes))
