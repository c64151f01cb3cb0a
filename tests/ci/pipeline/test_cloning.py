"""Clones with images of their own: what is wrong with them, and the Stage without them."""

from __future__ import annotations

import pytest

from ci.pipeline.cloning import after_clone, with_files
from ci.pipeline.compile import compile_all
from ci.pipeline.event import Event, EventKind
from ci.pipeline.loading import load
from ci.pipeline.spec import Clone, StageSpec, StepSpec
from ci.trigger.planning import stages

STEPS = "\nsteps: [{name: a, image: b, commands: [c]}]\n"


def step(name: str, *depends_on: str) -> StepSpec:
    """A step."""
    return StepSpec(name=name, image="b", depends_on=depends_on)


def test_all_wait_for_the_last_that_clones() -> None:
    """Those that clone are a chain; who waits for another step waits by that."""
    found = after_clone((step("x"), step("y")), (step("a"), step("b", "a")))
    assert [(one.name, one.depends_on) for one in found] == [("x", ()), ("y", ("x",)), ("a", ("y",)), ("b", ("a",))]


def test_with_files_there_is_no_clone() -> None:
    """The steps are as if the file had no such clone."""
    plain = StageSpec(name="s", number=1, steps=(step("a"), step("b", "a")))
    cloned = StageSpec(name="s", number=1, steps=after_clone((step("x"),), plain.steps), clone=Clone(steps=("x",)))
    assert with_files(cloned) == plain == with_files(plain)


def test_it_is_a_step_of_the_build() -> None:
    """The first, and in place of the runner's own."""
    cloned = StageSpec(name="s", number=1, steps=after_clone((step("x"),), (step("a"),)), clone=Clone(steps=("x",)))
    (planned,) = stages((cloned,))
    assert [(one.number, one.name, one.kind) for one in planned.steps] == [(1, "x", "clone"), (2, "a", "step")]


@pytest.mark.parametrize(
    ("name", "text", "codes"),
    [
        (".ci.yml", "clone: {image: b, depth: 7}", ["unknown-key"]),
        (".ci.yml", "clone: {image: 'B B'}", ["bad-image"]),
        (".ci.yml", "clone: {image: b, volumes: ['x:/y']}", ["unknown-volume"]),
        (".woodpecker.yml", "clone: [{name: x, image: b}, {name: y, commands: [z]}]", ["missing-image"]),
        (".woodpecker.yml", "clone: [{name: a, image: b}]", ["duplicate-name"]),
        (".woodpecker.yml", "clone: [{image: b}, {image: plugin-git}]", []),
    ],
)
def test_mistakes_are_found(name: str, text: str, codes: list[str]) -> None:
    """As those of any step."""
    assert [one.code for one in load(text + STEPS, name).diagnostics] == codes


@pytest.mark.parametrize(
    ("text", "names", "clone"),
    [
        ("clone: [{name: x, image: b, when: {branch: main}}]", ["x", "a"], Clone(steps=("x",))),
        ("clone: [{name: x, image: b, when: {branch: no}}]", ["a"], Clone(disable=True)),
        ("skip_clone: true\nclone: [{name: x, image: b}]", ["a"], Clone(disable=True)),
    ],
)
def test_conditions_hold(text: str, names: list[str], clone: Clone) -> None:
    """Where none of the steps that clone is to run, nothing is fetched."""
    loaded = load(text + STEPS, ".woodpecker.yml")
    (stage,) = compile_all(loaded.documents, Event(kind=EventKind.PUSH, branch="main"))
    assert ([one.name for one in stage.steps], stage.clone) == (names, clone)
