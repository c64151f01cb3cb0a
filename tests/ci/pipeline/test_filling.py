"""Values in a document: everywhere, and never more than values."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ci.pipeline
from ci.pipeline.compile import CompileError, compile_all
from ci.pipeline.event import Event
from ci.pipeline.filling import filled

if TYPE_CHECKING:
    from ci.pipeline.spec import StageSpec

FILE = """
kind: pipeline
name: ${DRONE_BRANCH}
steps:
- name: a
  image: alpine
  commands:
  - printf %s "${DRONE_BRANCH}"
  environment: {VALUE: "<${DRONE_BRANCH}>", UPPER: "${DRONE_BRANCH^^}"}
  settings: {list: ["${DRONE_BRANCH}", "1"], tree: {a: "${DRONE_BRANCH}"}}
"""
STRANGE = [
    "main",
    "$(id)",
    "`id`",
    'a"; id; "',
    "'",
    "a: b",
    "- x",
    "---\nsteps: []",
    "${HOME}",
    "$HOME",
    "*",
    "\\",
    "é\u2028",
]


def stage(branch: str, text: str = FILE) -> StageSpec:
    """The Stage of a push to a branch."""
    (compiled,) = compile_all(ci.pipeline.load(text, ".drone.yml").require(), Event(branch=branch))
    return compiled


@pytest.mark.parametrize("branch", STRANGE)
def test_a_value_stays_a_value(branch: str) -> None:
    """Whatever a stranger called a branch, nothing but the values changes."""
    plain, strange = stage("main"), stage(branch)
    (step,) = strange.steps
    assert step.environment["VALUE"] == f"<{branch}>"
    assert step.environment["UPPER"] == branch.upper()
    assert strange.name == branch
    kept = ("image", "depends_on", "secrets", "volumes", "privileged", "run_on_success", "line")
    assert [getattr(step, name) for name in kept] == [getattr(plain.steps[0], name) for name in kept]


@pytest.mark.parametrize("branch", [branch for branch in STRANGE if "\u2028" not in branch])
def test_a_value_is_no_command(branch: str) -> None:
    """A shell that runs the command sees the branch's name, and runs nothing of it."""
    (step,) = stage(branch).steps
    environment = {"PATH": "/usr/bin:/bin", "DRONE_BRANCH": branch}
    done = subprocess.run(
        ["/bin/sh", "-c", step.commands[0]], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == branch


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20))
def test_any_value(branch: str) -> None:
    """The command holds the value only where a shell takes it for one plain word."""
    command = stage(branch).steps[0].commands[0]
    if command != 'printf %s "${DRONE_BRANCH}"':
        assert shlex.quote(branch) == branch or branch[0] in "~=^" or set(branch) & set("~^")
        assert command == f'printf %s "{branch}"'


def test_a_value_that_is_no_pattern() -> None:
    """In a condition a value is a pattern; one that cannot be one is an error with a place."""
    text = "{kind: pipeline, trigger: {repo: 'x/${DRONE_BRANCH}'}, steps: [{name: a, image: b}]}"
    with pytest.raises(CompileError, match="line 1, column 27: a pattern of the condition"):
        stage("[", text)


def test_words_of_an_interpreter() -> None:
    """An entrypoint with a script in it is guarded as commands are; another one holds the value itself."""
    text = "{kind: pipeline, steps: [{name: a, image: b, entrypoint: [%s, '${DRONE_BRANCH}']}]}"
    assert stage("a b", text % "sh, -c").steps[0].entrypoint == ("sh", "-c", "${DRONE_BRANCH}")
    assert stage("a b", text % "echo").steps[0].entrypoint == ("echo", "a b")


def test_kinds_of_values() -> None:
    """In a setting a value that is put in is what it looks like, unless it is quoted."""
    text = "{kind: pipeline, steps: [{name: a, image: b, settings: {x: {p: ${A:-1}, q: '${A:-1}', r: ${B:-true}}}}]}"
    assert stage("main", text).steps[0].environment["PLUGIN_X"] == '{"p":1,"q":"1","r":true}'


def test_what_does_not_change_is_shared() -> None:
    """Only the records on the way to a changed text are new."""
    (document,) = ci.pipeline.load(FILE, ".drone.yml").documents
    assert filled(replace(document, name=None, when=(), steps=()), {}, ()) == replace(
        document, name=None, when=(), steps=()
    )
    unchanged = replace(document.steps[0], commands=(), environment=(), settings=())
    assert filled(replace(document, steps=(unchanged,)), {}, ()).steps[0] is unchanged


def test_an_expression_that_is_not_understood() -> None:
    """It is an error with its place, in lint and in compile alike."""
    loaded = ci.pipeline.load("kind: pipeline\nsteps: [{name: a, image: b, commands: ['x ${A[0]}']}]", ".drone.yml")
    (mistake,) = loaded.diagnostics
    assert (mistake.code, mistake.position[:4]) == ("bad-substitution", (2, 43, 2, 50))
    with pytest.raises(CompileError, match=r"line 2, column 43: .*operator"):
        compile_all(loaded.documents, Event())
