"""What is drone's own in `.drone.yml`, beyond the keys that the golden files show."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import ci.pipeline
from ci.pipeline.compile import CompileError, compile_all
from ci.pipeline.drone_variables import NAMES, drone_step_variables, drone_variables
from ci.pipeline.event import Event, EventKind

TEXTS = (
    *("branch", "source_branch", "commit", "message", "author", "author_email", "author_login", "author_avatar"),
    *("repository", "remote_url", "ssh_url", "default_branch", "pull_request_title", "action", "sender", "link"),
    *("before", "deploy_target", "cron", "instance", "server_url", "build_url"),
)
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
    """drone takes it for any other map, and so it is given; but that is said."""
    text = HEAD + "steps: [{name: a, image: b, settings: {x: {y: {from_secret: z}}}}]"
    assert codes(text) == ["inner-secret"]
    (stage,) = compile_all(ci.pipeline.load(text, ".drone.yml").require(), Event())
    assert stage.steps[0].environment["PLUGIN_X"] == '{"y":{"from_secret":"z"}}'


@pytest.mark.parametrize(
    ("tag", "calver", "semver"),
    [
        (
            "v19.1.0-beta.20190318",
            ("19.1.0-beta.20190318", "19.1.0", "19.1", "19", "1", "0", "beta.20190318"),
            "19.1.0",
        ),
        ("2019.03", ("2019.03", "2019.03", "2019.03", "2019", "03", None, None), None),
        ("2024.01.02", ("2024.01.02", "2024.01.02", "2024.01", "2024", "01", "02", None), "2024.1.2"),
        ("v1.2.3", (None,) * 7, "1.2.3"),
        ("2018.1.1", (None,) * 7, "2018.1.1"),
        ("release", (None,) * 7, None),
    ],
)
def test_versions_in_tags(tag: str, calver: tuple[str | None, ...], semver: str | None) -> None:
    """A tag that begins with a year is a calendar version; zeros before a number are kept there, not in a SEMVER."""
    found = drone_variables(Event(kind=EventKind.TAG, tag=tag), number=1, stage="s", stage_number=1)
    names = ("", "_SHORT", "_MAJOR_MINOR", "_MAJOR", "_MINOR", "_MICRO", "_MODIFIER")
    assert tuple(found.get(f"DRONE_CALVER{name}") for name in names) == calver
    assert found.get("DRONE_SEMVER_SHORT") == semver
    assert ("DRONE_SEMVER_ERROR" in found) == (semver is None)


def test_all_names_are_known() -> None:
    """What a container gets is what a file may name, but for what only a runner knows."""
    names: set[str] = set()
    for kind in EventKind:
        for tag in ("v19.1.0-a+b", "x"):
            facts: dict[str, Any] = dict.fromkeys(TEXTS, "https://x/o/n")
            event = Event(
                kind=kind, ref=f"refs/tags/{tag}", tag=tag, pull_request=1, created=1, platform="a/b/c", **facts
            )
            names |= set(drone_variables(event, number=1, stage="s", stage_number=1, base="/b", path="p", machine="m"))
            names |= set(drone_variables(event, number=1, stage="s", stage_number=1, depends_on=["d"]))
    names |= set(drone_step_variables("s", 1))
    assert names ^ NAMES == {"DRONE_FAILED_STEPS", "DRONE_FAILED_STAGES"}


@pytest.mark.parametrize("value", ["true", "yes", "on"])
def test_flags_that_a_variable_gives(value: str) -> None:
    """A flag, a word and the clone's switch may be variables; what they become is checked then."""
    text = (
        HEAD + "clone: {disable: '${DRONE_REPO_PRIVATE}'}\nsteps:\n- {name: a, image: b, detach: '${DRONE_TAG}', "
        "privileged: '${DRONE_TAG}', failure: '${DRONE_DEPLOY_TO}', pull: '${DRONE_DEPLOY_TO:-always}'}\n"
    )
    assert codes(text) == ["needs-trust"]
    documents = ci.pipeline.load(text, ".drone.yml").require()
    event = Event(kind=EventKind.TAG, tag=value, private=True, deploy_target="never")
    with pytest.raises(CompileError, match='"failure" cannot be "never"'):
        compile_all(documents, event)
    (stage,) = compile_all(documents, replace(event, deploy_target="", tag=value), number=1)[:1]
    (step,) = stage.steps
    assert (step.detach, step.privileged, step.pull, stage.clone.disable) == (True, True, "always", True)


def test_a_variable_that_has_no_value() -> None:
    """A variable of the shell that is not escaped is a warning, with the way to write it."""
    (found,) = ci.pipeline.check(
        HEAD + "steps: [{name: a, image: b, commands: ['for f in *; do x ${f}; done']}]", ".drone.yml"
    )
    assert (found.code, found.severity, found.position.column) == ("undefined-variable", "warning", 58)
    assert found.hint == 'write "$${f}" for a variable of the shell'


@pytest.mark.parametrize(
    ("keys", "found", "pull", "failure"),
    [
        ("pull: Always", [], "always", "fail"),
        ("pull: true", ["bad-value"], "", "fail"),
        ("failure: IGNORE", [], "", "ignore"),
        ("failure: always", ["bad-value"], "", "fail"),
    ],
)
def test_words_that_drone_does_not_know(keys: str, found: list[str], pull: str, failure: str) -> None:
    """They mean what no word means, and are warnings; capitals do not matter."""
    text = HEAD + f"steps: [{{name: a, image: b, {keys}}}]"
    assert codes(text) == found
    (stage,) = compile_all(ci.pipeline.load(text, ".drone.yml").require(), Event())
    assert (stage.steps[0].pull, stage.steps[0].failure) == (pull, failure)


def test_a_pipeline_of_another_system() -> None:
    """Containers are those of Linux, which is said."""
    assert codes(HEAD + "platform: {os: windows, arch: amd64}\n" + STEPS) == ["not-honoured"]
    assert codes(HEAD + "platform: {os: linux, arch: arm64}\n" + STEPS) == []
