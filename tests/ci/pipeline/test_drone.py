"""What is drone's own in `.drone.yml`, beyond the keys that the golden files show."""

from __future__ import annotations

import pytest

import ci.pipeline
from ci.pipeline.compile import compile_all
from ci.pipeline.event import Event

HEAD = "kind: pipeline\n"
STEPS = "steps: [{name: a, image: b}]\n"


def codes(text: str) -> list[str]:
    """The codes of a file's diagnostics."""
    return [one.code for one in ci.pipeline.check(text, ".drone.yml")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD + "type: exec\n" + STEPS, 'the type "exec" cannot be run'),
        (HEAD + "type: kubernetes\n" + STEPS, 'the type "kubernetes" cannot be run'),
        ("kind: template\nload: x.starlark", 'the kind "template" cannot be run'),
        ("kind: pipelin\n" + STEPS, 'the kind "pipelin" cannot be run'),
        ("pipeline: {build: {image: a}}", "this is a file of drone 0.8"),
        (STEPS, 'has no "kind"'),
    ],
)
def test_what_cannot_be_run(text: str, words: str) -> None:
    """It is one diagnostic, with a word about the way on."""
    (found,) = ci.pipeline.check(text, ".drone.yml")
    assert words in found.message
    assert found.hint


def test_a_file_without_pipelines() -> None:
    """Secrets and signatures alone are no pipeline."""
    assert codes("kind: secret\nname: a\n---\nkind: signature\nhmac: b") == ["empty-file"]


def test_what_drone_passes_over() -> None:
    """An unknown key is a warning, one for anchors nothing, an empty value is as none."""
    assert codes(HEAD + "x-a: 1\n_b: 2\n.c: 3\nfoo: 4\nenvironment:\n" + STEPS) == ["unknown-key"]
    assert codes(HEAD + "steps: [{name: a, image: b, environment: , when: , commands: []}]") == []


def test_names() -> None:
    """A step's name may be anything on a line; names of pipelines are unique, the usual one too."""
    assert codes(HEAD + "steps: [{name: 'Build & test (all)', image: b}]") == []
    assert codes(HEAD + "steps: [{name: a, image: b}, {name: a, image: b}]") == ["duplicate-name"]
    assert codes(f"{HEAD}{STEPS}---\n{HEAD}{STEPS}") == ["duplicate-name"]
    assert codes(f"{HEAD}{STEPS}---\n{HEAD}name: other\n{STEPS}") == []


def test_the_clone_step() -> None:
    """Steps may wait for drone's own step; where there is one of that name, for that."""
    text = HEAD + "steps: [{name: a, image: b, depends_on: [clone]}, {name: c, image: b, depends_on: [a, clone]}]"
    loaded = ci.pipeline.load(text, ".drone.yml")
    (stage,) = compile_all(loaded.require(), Event())
    assert [step.depends_on for step in stage.steps] == [(), ("a",)]
    own = HEAD + "steps: [{name: clone, image: b}, {name: c, image: b, depends_on: [clone]}]"
    (stage,) = compile_all(ci.pipeline.load(own, ".drone.yml").require(), Event())
    assert stage.steps[1].depends_on == ("clone",)


@pytest.mark.parametrize(
    ("volumes", "mounts", "code"),
    [
        ("[{name: x, temp: {}}]", "[{name: y, path: /y}]", ["unknown-volume"]),
        ("[{name: x, temp: {medium: memory}}]", "[{name: x, path: /y}]", ["not-honoured"]),
        ("[{name: x, host: {}}]", "[{name: x, path: /y}]", ["missing-key"]),
        ("[{name: x, temp: {}}, {name: x, temp: {}}]", "[]", ["duplicate-name"]),
        ("[{name: x, temp: {}}]", "[{name: x}]", ["missing-key"]),
        ("{x: /y}", "[]", ["wrong-type"]),
    ],
)
def test_volumes(volumes: str, mounts: str, code: list[str]) -> None:
    """Mistakes in volumes and their mounts."""
    assert codes(f"{HEAD}volumes: {volumes}\nsteps: [{{name: a, image: b, volumes: {mounts}}}]") == code


def test_a_secret_inside_of_a_setting() -> None:
    """It cannot be given, and that is said."""
    text = HEAD + "steps: [{name: a, image: b, settings: {x: {y: {from_secret: z}}}}]"
    assert codes(text) == ["inner-secret"]


def test_a_variable_that_has_no_value() -> None:
    """A variable of the shell that is not escaped is a warning, with the way to write it."""
    (found,) = ci.pipeline.check(
        HEAD + "steps: [{name: a, image: b, commands: ['for f in *; do x ${f}; done']}]", ".drone.yml"
    )
    assert (found.code, found.severity, found.position.column) == ("undefined-variable", "warning", 58)
    assert found.hint == 'write "$${f}" for a variable of the shell'
