"""What is Woodpecker's own in `.woodpecker.yml`, beyond the keys that the golden files show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import ci.pipeline
from ci.pipeline.compile import compile_all
from ci.pipeline.event import Event, EventKind
from ci.pipeline.spec import Piece

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


def test_ports() -> None:
    """Numbers, with or without the protocol; what is not TCP cannot be waited for, which is said."""
    text = "steps: [{image: b}]\nservices: [{name: db, image: b, ports: ['5432', 80/tcp, 53/udp]}]"
    assert codes(text) == ["not-honoured"]
    assert stage(text).services[0].ports == (5432, 80)
    assert codes("steps: [{image: b}]\nservices: [{name: db, image: b, ports: ['80:80']}]") == ["bad-port"]


def test_secrets_inside_of_settings() -> None:
    """In lists and maps, beside what else is there; the whole is JSON, put together where the step runs."""
    text = "steps: [{image: b, settings: {x: [{a: {from_secret: one}, b: 1}, {from_secret: two}], y: [1, 2]}}]"
    assert codes(text) == []
    (step,) = stage(text).steps
    assert step.composed == {
        "PLUGIN_X": (Piece('[{"a":'), Piece("", "one"), Piece(',"b":1},'), Piece("", "two"), Piece("]"))
    }
    assert (step.secret_names, step.secret_variables) == (("one", "two"), ("PLUGIN_X",))
    assert step.environment["PLUGIN_Y"] == "1,2"


def test_values_that_are_nothing() -> None:
    """A variable or a setting without a value is not set, whether it is written so or comes out so."""
    text = (
        "steps: [{image: b, environment: {A: , B: '', C: ${CI_COMMIT_TAG}, D: '${CI_COMMIT_TAG}', E: ~},"
        " settings: {a: , b: '', c: ${CI_COMMIT_TAG}, d: '${CI_COMMIT_TAG}'}}]"
    )
    found = stage(text).steps[0].environment
    names = [name for name in found if len(name) == 1 or name.startswith("PLUGIN")]
    assert {name: found[name] for name in names} == {"B": "", "D": "", "PLUGIN_B": "", "PLUGIN_D": ""}


def test_flags_that_the_matrix_gives() -> None:
    """A flag may be one of the matrix's values, and is checked for each."""
    text = "matrix: {FLAG: [%s]}\nsteps: [{image: b, pull: '${FLAG}', detach: '${FLAG}'}]"
    assert codes(text % "true, no") == []
    stages = compile_all(ci.pipeline.load(text % "true, no", ".woodpecker.yml").require(), Event())
    assert [(one.steps[0].pull, one.steps[0].detach) for one in stages] == [("always", True), ("", False)]
    assert codes(text % "true, maybe") == ["bad-value", "bad-value"]


def test_labels_as_a_list() -> None:
    """Of `name=value`, as well as a map."""
    for labels in ("[a=b, c=]", "{a: b, c: ''}"):
        assert stage(f"labels: {labels}\nsteps: [{{image: b}}]").labels == {"a": "b", "c": ""}


def test_options_of_volumes() -> None:
    """Those of docker beside the rights mean nothing, and are no mistake; others are one."""
    text = "steps: [{image: b, volumes: ['/a:/b:ro,z', '/c:/d:Z', '/e:/f:rw']}]"
    assert [mount.read_only for mount in stage(text).steps[0].volumes] == [True, False, False]
    assert codes("steps: [{image: b, volumes: ['/a:/b:x']}]") == ["bad-volume"]


def test_services_without_names() -> None:
    """They and the steps without names do not meet."""
    it = stage("services: [{image: a}]\nsteps: [{image: b}, {image: c}]")
    assert [one.name for one in (*it.services, *it.steps)] == ["service-0", "step-0", "step-1"]


def test_variables_of_drone_for_plugins() -> None:
    """They are copies of Woodpecker's own: its names of events, and no branch where it has none."""
    text = "steps: [{image: b}]"
    facts = {"author": "Ada", "author_login": "ada", "repository": "team/app"}
    tag = stage(text, kind=EventKind.TAG, tag="v1", **facts).steps[0].environment
    assert (tag["DRONE_BUILD_EVENT"], tag["DRONE_TAG"], tag["DRONE_COMMIT_AUTHOR"]) == ("tag", "v1", "Ada")
    assert "DRONE_BRANCH" not in tag
    assert tag["PULLREQUEST_DRONE_PULL_REQUEST"] == "0"
    manual = stage(text, kind=EventKind.MANUAL, branch="main", **facts).steps[0].environment
    assert (manual["DRONE_BUILD_EVENT"], manual["DRONE_BRANCH"], manual["DRONE_REPO"]) == ("manual", "main", "team/app")
    pull = (
        stage(text, kind=EventKind.PULL_REQUEST, branch="main", source_branch="x", pull_request=7).steps[0].environment
    )
    names = ("DRONE_PULL_REQUEST", "PULLREQUEST_DRONE_PULL_REQUEST", "DRONE_SOURCE_BRANCH", "DRONE_TARGET_BRANCH")
    assert [pull[name] for name in names] == ["7", "7", "x", "main"]
