"""Values of the file itself: the same as where text is replaced before it is YAML, which is the oracle here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ci.pipeline
from ci.pipeline import envsubst, matrix
from ci.pipeline.compile import CompileError, compile, compile_all
from ci.pipeline.event import Event
from ci.pipeline.loading import PipelineError
from ci.pipeline.substitution import SubstitutionError
from ci.pipeline.variables import variables
from tests.processor_time import at_most

if TYPE_CHECKING:
    from ci.pipeline.spec import StageSpec

EVENT = Event(branch="feature/x-1.2", commit="0123456789" * 4, repository="team/app", message="fix")
HEAD = "matrix:\n  include:\n  - {V: %s, W: plain}\n"
FILE = """steps:
- name: a
  image: %s
  commands: [make, "echo ${CI_COMMIT_BRANCH}", 'x $${HOME}']
  environment:
    ONE: %s
  settings:
    two: %s
  when: {branch: {exclude: [%s]}}
"""


def quoted(value: str) -> str:
    """A value as YAML in single quotes."""
    return "'" + value.replace("'", "''") + "'"


def stages(text: str) -> tuple[StageSpec, ...]:
    """The Stages of a file, without what tells only where things were written."""
    found = compile_all(ci.pipeline.load(text, ".woodpecker.yml").require(), EVENT)
    return tuple(replace(one, steps=tuple(replace(step, line=0) for step in one.steps)) for one in found)


def text_first(text: str) -> tuple[StageSpec, ...]:
    """The same where all variables are replaced in the text: what drone and Woodpecker do."""
    (document,) = ci.pipeline.load(text, ".woodpecker.yml").require()
    known = variables(EVENT, number=1, workflow="woodpecker", workflow_number=1, workspace="", system="woodpecker")
    found: list[StageSpec] = []
    for cell in matrix.cells(document.matrix):
        values = {**known, "CI": "woodpecker", **cell}
        expanded = envsubst.expand(text, values.get).replace("$", "$$")  # nothing is to be replaced again
        (again,) = ci.pipeline.load(expanded, ".woodpecker.yml").require()
        for stage in compile(replace(again, matrix=None), EVENT, first=len(found) + 1):
            step_environments = [{**cell, **step.environment} for step in stage.steps]
            steps = tuple(
                replace(step, line=0, environment=environment)
                for step, environment in zip(stage.steps, step_environments, strict=True)
            )
            found.append(replace(stage, steps=steps, matrix=dict(cell)))
    return tuple(found)


VALUES = [
    *("plain", "1.10", "true", "no", "null", "~", "", "[a, b]", "[]", "{a: 1}", "{a: {b: [1]}}", "'q'", '"q\\n"'),
    *(
        "a:b",
        "golang:1.22",
        "a#b",
        "a #b",
        " a ",
        "a  b",
        "-x",
        "--x",
        "/a/b",
        "a,b",
        "*",
        "é",
        "x=y",
        "$x",
        "$$",
        "0x1f",
    ),
    *("a: b", "- a", "[a", "'q", "# a", "&a b", "*a", "!x y", "| a", "%a", "@a", "`a`", "{a", "a]", "a: ", "?", "-"),
]
PLACES = [
    "${V}",
    "'${V}'",
    '"${V}"',
    "x${V}",
    "${V}x",
    "${V:-w}",
    "${N:-%s}",
    "${V^^}",
    "[${V}, b]",
    "[a, '${V}']",
    "${N}",
    "$${V}",
]


@pytest.mark.parametrize("place", ["%s", "'%s'", '"%s"', "x-%s", "[%s, b]"])
@pytest.mark.parametrize("value", VALUES)
def test_every_value_in_a_setting(value: str, place: str) -> None:
    """A value of the matrix is what it is where text is replaced; where that is no YAML, the file cannot be run."""
    same(HEAD % quoted(value) + FILE % ("b", "1", place % "${V}", "other"))


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(st.sampled_from(VALUES), st.lists(st.sampled_from(PLACES), min_size=4, max_size=4), st.sampled_from(VALUES))
def test_any_values_anywhere(value: str, places: list[str], word: str) -> None:
    """In settings, environments, conditions and images, with and without operators and quotes."""
    image, *rest = (place.replace("%s", word) for place in places)
    if "[" in image:
        image = "b"
    same(HEAD % quoted(value) + FILE % (image, *rest))


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab[]{},:#'\"-&*!|>%@`~ \n$?=é", max_size=8), st.sampled_from(PLACES))
def test_any_characters(value: str, place: str) -> None:
    """Whatever a default is made of."""
    text = FILE % ("b", "1", place.replace("%s", value.replace("}", "")), "other")
    same(text)


def same(text: str) -> None:
    """Both ways have the same Stages, or both none."""
    if not ci.pipeline.load(text, ".woodpecker.yml").ok:
        return
    try:
        expected: Any = text_first(text)
    except (PipelineError, CompileError, SubstitutionError, ValueError):
        expected = None
    if expected is None:
        return
    assert stages(text) == expected


def test_what_cannot_be_read_is_said() -> None:
    """With the line, and that it is the value's doing."""
    text = HEAD % '"[a"' + FILE % ("b", "1", "${V}", "other")
    with pytest.raises(CompileError, match=r"line \d+, column \d+: with the values in their places: "):
        stages(text)


def test_an_event_adds_nothing() -> None:
    """A branch's name stays a value, whatever a matrix holds beside it."""
    text = HEAD % "'[a, b]'" + FILE % ("b", "${CI_COMMIT_BRANCH}", "[ '${V}', ${CI_COMMIT_BRANCH} ]", "other")
    loaded = ci.pipeline.load(text, ".woodpecker.yml")
    (stage,) = compile_all(loaded.require(), replace(EVENT, branch="x, {a: b}]\n- name: c"))
    assert [step.name for step in stage.steps] == ["a"]
    assert stage.steps[0].environment["ONE"] == "x, {a: b}]\n- name: c"


def test_a_dependency_that_a_value_names() -> None:
    """Lists and flags of the matrix reach every key, and are checked as if they were written there."""
    text = "matrix: {include: [{NEEDS: '%s'}]}\nsteps: [{name: a, image: b}, {name: c, image: b, depends_on: ${NEEDS}}]"
    assert [step.depends_on for step in stages(text % "[a]")[0].steps] == [(), ("a",)]
    assert [step.depends_on for step in stages(text % "[]")[0].steps] == [(), ()]
    with pytest.raises(CompileError, match='"c" depends on "x"'):
        stages(text % "[x]")


def test_many_cells_of_a_large_file() -> None:
    """A file that would have to be read again too often is refused at once; with plain values it never is."""
    values = ", ".join(f"{n}" for n in range(400))
    large = "# " + "x" * 20_000 + "\nmatrix: {V: [%s]}\nsteps: [{name: a, image: b, settings: {v: '${V}'}}]"
    assert len(stages(large % values)) == 400
    with at_most(2), pytest.raises(CompileError, match=r"line 2, .*too large to be read for each cell"):
        stages(large % f"'[a', {values}")
