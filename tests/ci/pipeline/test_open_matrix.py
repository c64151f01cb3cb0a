"""Matrices made of outputs: the cells of every form, and that hostile outputs are one clear error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ci.pipeline
from ci.pipeline.compile import compile_all
from ci.pipeline.event import Event, EventKind
from ci.pipeline.open_matrix import expand
from ci.pipeline.outputs import OutputError, Reference

if TYPE_CHECKING:
    from ci.pipeline.spec import StageSpec

SOURCE = Reference("plan/list", "out")
EVENT = Event(kind=EventKind.PUSH, branch="main")


def expanded(matrix: str, written: str, when: str = "") -> tuple[StageSpec, ...]:
    """The Stages of a document with this matrix."""
    text = f"""
name: plan
steps: {{list: {{image: b}}}}
---
name: use
depends_on: plan
matrix: {matrix}
{when}
steps: [{{name: s, image: "b:${{A}}"}}, {{name: t, image: b, when: {{matrix: {{A: x}}}}}}]
"""
    documents = ci.pipeline.load(text).require()
    stage = compile_all(documents, EVENT)[-1]
    assert stage.cells_from == (SOURCE,)
    return expand(documents, stage, EVENT, {SOURCE: written}, first=10)


def cells(stages: tuple[StageSpec, ...]) -> list[dict[str, str]]:
    """Their cells."""
    return [dict(stage.matrix) for stage in stages]


AXIS = "{A: {from_output: plan/list.out}, B: ['1', '2'], exclude: [{A: x, B: '2'}]}"
WHOLE = "{from_output: plan/list.out}"


def test_forms() -> None:
    """A list for an axis; a map of axes, or cells, for all of it. Numbers stay as they are written."""
    found = expanded(AXIS, '["x", 1.10, true]')
    assert cells(found) == [
        {"A": "x", "B": "1"},
        {"A": "1.10", "B": "1"},
        {"A": "1.10", "B": "2"},
        {"A": "true", "B": "1"},
        {"A": "true", "B": "2"},
    ]
    assert [stage.number for stage in found] == [10, 11, 12, 13, 14]
    assert {stage.depends_on for stage in found} == {("plan",)}
    assert [step.name for step in found[0].steps] == ["s", "t"]
    assert [step.name for step in found[1].steps] == ["s"]
    assert found[1].steps[0].image == "b:1.10"
    assert cells(expanded(WHOLE, '{"A": ["x", "y"], "C": [1]}')) == [{"A": "x", "C": "1"}, {"A": "y", "C": "1"}]
    assert cells(expanded(WHOLE, '[{"A": "x"}, {"A": "y", "C": 1}]')) == [{"A": "x"}, {"A": "y", "C": "1"}]


def test_no_cells() -> None:
    """An empty list, and conditions that hold for none, give none."""
    assert expanded(AXIS, "[]") == ()
    assert expanded(WHOLE, "[]") == ()
    assert expanded(AXIS, '["y"]', when="when: {matrix: {A: x}}") == ()


@pytest.mark.parametrize(
    ("matrix", "written", "message"),
    [
        (AXIS, "", "plan/list.out is not JSON"),
        (AXIS, "[" * 60_000, "plan/list.out is not JSON"),
        (AXIS, '{"a": 1}', "the values of A are not a list"),
        (AXIS, '[["x"]]', "a value of A is not one line of at most 200 characters"),
        (AXIS, "[null]", "a value of A is not one line of at most 200 characters"),
        (AXIS, '["a\\u001b[2J"]', "a value of A is not one line of at most 200 characters"),
        (AXIS, json.dumps(["x" * 201]), "a value of A is not one line of at most 200 characters"),
        (AXIS, json.dumps([str(n) for n in range(300)]), "the matrix would have 600 cells; 500 are allowed"),
        (WHOLE, '"x"', "plan/list.out is neither a map of lists nor a list of maps"),
        (WHOLE, '["x"]', "plan/list.out is neither a map of lists nor a list of maps"),
        (WHOLE, '{"A": "x"}', "the values of A are not a list"),
        (WHOLE, '[{"A B": "x"}]', "a matrix: "),
    ],
)
def test_mistakes(matrix: str, written: str, message: str) -> None:
    """One sentence that names the output or the axis."""
    with pytest.raises(OutputError) as raised:
        expanded(matrix, written)
    assert str(raised.value).startswith(message)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda of: st.lists(of, max_size=3) | st.dictionaries(st.text(max_size=3), of, max_size=3),
    )
)
def test_anything(found: object) -> None:
    """Any JSON gives cells or an error of ours."""
    try:
        expanded(WHOLE, json.dumps(found))
    except (OutputError, ci.errors.CiError):
        return
