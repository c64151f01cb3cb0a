"""What is Woodpecker's own in `.woodpecker.yml`, beyond the keys that the golden files show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import ci.pipeline
from ci.pipeline.compile import compile_all
from ci.pipeline.event import Event, EventKind

if TYPE_CHECKING:
    from ci.pipeline.spec import StageSpec


def codes(text: str) -> list[str]:
    """The codes of a file's diagnostics."""
    return [one.code for one in ci.pipeline.check(text, ".woodpecker.yml")]


def stage(text: str, name: str = ".woodpecker.yml", **facts: object) -> StageSpec:
    """The one Stage of a file."""
    (compiled,) = compile_all(ci.pipeline.load(text, name).require(), Event(**facts))  # type: ignore[arg-type]
    return compiled


@pytest.mark.parametrize(
    ("name", "title"),
    [(".woodpecker.yml", "woodpecker"), (".woodpecker/test.yaml", "test"), ("a/.woodpecker/b.c.yml", "b.c")],
)
def test_a_workflow_is_called_as_its_file(name: str, title: str) -> None:
    """Without the ending, and without a dot before it."""
    assert stage("steps: [{image: b}]", name).name == title


def test_one_document() -> None:
    """A second one is passed over, and said to be."""
    assert codes("steps: [{image: b}]\n---\nsteps: [{image: b}]") == ["not-honoured"]


def test_spliced_lists() -> None:
    """`<<` in a list stands for the items of other lists; a map there is a mistake as ever."""
    text = "variables: [&a [x, y], &b [z]]\nsteps: [{image: b, commands: [{<<: *a}, w, {<<: [*b, *a]}]}]"
    assert stage(text).steps[0].commands == ("x", "y", "w", "z", "x", "y")
    assert codes("variables: [&a {x: y}]\nsteps: [{image: b, commands: [{<<: *a}]}]") == ["wrong-type"]


def test_steps_of_a_map_keep_their_own_names() -> None:
    """A name inside of the step is stronger than the key."""
    text = "steps: {one: {image: b}, two: {name: three, image: b}}"
    assert [step.name for step in stage(text).steps] == ["one", "three"]


def test_dependencies() -> None:
    """One `depends_on` makes a graph; an optional one may be missing, another may not."""
    text = "steps: [{name: a, image: b}, {name: c, image: b, depends_on: %s}]"
    assert stage(text % "[{name: x, optional: true}, a]").steps[1].depends_on == ("a",)
    assert codes(text % "[{name: x}]") == ["unknown-dependency"]
    assert codes(text % "x") == ["unknown-dependency"]


def test_the_workspace() -> None:
    """Made of the repository's address; of a base alone the rest stays the same."""
    steps = "steps: [{image: b, directory: sub}, {image: b, directory: /abs}]\n"
    facts = {"repository": "team/app", "remote_url": "https://user@git.example.org:8443/team/app.git"}
    made = stage(steps, **facts)
    assert made.workspace == "/woodpecker/src/git.example.org/team/app"
    assert [step.working_dir for step in made.steps] == [f"{made.workspace}/sub", "/abs"]
    assert stage(steps + "workspace: {base: /go}", **facts).workspace == "/go/src/git.example.org/team/app"
    assert stage(steps + "workspace: {base: /go, path: x}", **facts).workspace == "/go/x"


@pytest.mark.parametrize(
    ("kind", "name"),
    [(EventKind.ROLLBACK, "deployment"), (EventKind.RELEASE, "release"), (EventKind.MANUAL, "manual")],
)
def test_what_events_are_called(kind: EventKind, name: str) -> None:
    """Conditions and variables name events as Woodpecker does."""
    made = stage(f"when: {{event: {name}}}\nsteps: [{{image: b}}]", kind=kind)
    assert made.steps[0].environment["CI_PIPELINE_EVENT"] == name


def test_words_that_never_hold() -> None:
    """An event that Woodpecker does not know is a warning: nothing else is wrong."""
    assert codes("steps: [{image: b, when: {event: pushed}}]") == ["bad-condition"]
    assert ci.pipeline.load("steps: [{image: b, when: {event: pushed}}]", ".woodpecker.yml").ok


def test_an_expression_with_a_mistake() -> None:
    """It is found by lint, at its place in the expression."""
    text = "steps:\n- image: b\n  when:\n    evaluate: 'CI_REPO == \"a\" and (x'"
    (found,) = ci.pipeline.check(text, ".woodpecker.yml")
    assert (found.code, found.position[:2]) == ("bad-expression", (4, 37))
