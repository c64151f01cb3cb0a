"""Workflows of GitHub Actions in our own language.

Each workflow in `github` has beside it what comes out, and the notes in comments at its end. After a change that is
meant, `HAKO_GOLDEN=write` writes them anew; read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import ci.pipeline
from ci.pipeline import github
from ci.pipeline.compile import CompileError, compile_all
from ci.pipeline.conditions import evaluate
from ci.pipeline.diagnostics import Report, render
from ci.pipeline.document import Condition
from ci.pipeline.event import Event, EventKind
from ci.pipeline.github.expressions import UnsupportedError, condition
from ci.pipeline.github.matrices import matrix
from ci.pipeline.nodes import Mapping, Node
from ci.pipeline.source import Text, read
from ci.pipeline.variables import variables
from ci.pipeline.yaml import parse

FOLDER = Path(__file__).parent / "github"
WORKFLOWS = sorted(path for path in FOLDER.glob("*.yml") if ".ci." not in path.name)


def node(text: str) -> Node:
    """A text of YAML as a node."""
    source = read(text, "x")
    (found,) = parse(source, Report(source))
    return found


def converted(text: str) -> tuple[str, tuple[tuple[int, str], ...]]:
    """The file and the notes."""
    found = node(text)
    assert isinstance(found, Mapping)
    done = github.convert(found)
    return done.text, done.notes


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows(path: Path) -> None:
    """What comes out is as expected, has no mistakes, and compiles for every event."""
    text, notes = converted(path.read_text())
    found = text + "".join(f"# {line}: {sentence}\n" for line, sentence in notes)
    expected = path.with_suffix(".ci.yml")
    if os.environ.get("HAKO_GOLDEN") == "write":
        expected.write_text(found)
    assert found == expected.read_text()
    loaded = ci.pipeline.load(text)
    assert loaded.ok, render(loaded.diagnostics)
    for kind in EventKind:
        compile_all(loaded.documents, Event(kind=kind, branch="main", tag="v1", repository="a/b"))


@pytest.mark.parametrize(
    ("written", "expected", "status"),
    [
        ("github.ref == 'refs/heads/main'", 'CI_COMMIT_REF == "refs/heads/main"', ()),
        ("${{ github.event_name == 'pull_request' }}", 'CI_PIPELINE_EVENT == "pull_request"', ()),
        ("github.event_name != 'push'", 'CI_PIPELINE_EVENT not in ["push", "tag"]', ()),
        ("'schedule' == github.event_name", 'CI_PIPELINE_EVENT == "cron"', ()),
        ("always()", "", ("success", "failure")),
        ("success() || failure()", "", ("success", "failure")),
        ("!cancelled() && matrix.os == 'x'", 'OS == "x"', ("success", "failure")),
        ("failure() && (github.actor == 'a' || github.actor == 'b')",
         '(CI_PIPELINE_AUTHOR == "a" || CI_PIPELINE_AUTHOR == "b")', ("failure",)),
        ("github.actor == 'a' || matrix['node-version'] >= 18", 'CI_PIPELINE_AUTHOR == "a" || NODE_VERSION >= 18', ()),
        ("contains(github.event.head_commit.message, '[x]')", '(CI_COMMIT_MESSAGE ?? "") contains "[x]"', ()),
        ("!contains('a b', github.actor)", '!("a b" contains (CI_PIPELINE_AUTHOR ?? ""))', ()),
        ("github.event.pull_request.draft == false", 'CI_COMMIT_PULL_REQUEST_DRAFT == "false"', ()),
        ("runner.os == 'Linux'", '"Linux" == "Linux"', ()),
        ("github.head_ref", '(CI_COMMIT_SOURCE_BRANCH ?? "") not in ["", "false"]', ()),
        ("'it''s' == github.actor", '"it\'s" == CI_PIPELINE_AUTHOR', ()),
    ],
)  # fmt: skip
def test_conditions(written: str, expected: str, status: tuple[str, ...]) -> None:
    """Expressions of the common kind, in our language; and ours can be evaluated."""
    names = {"os": "OS", "node-version": "NODE_VERSION"}
    assert condition(written, names) == (expected, status)
    if expected and ">=" not in expected:
        known = variables(Event(branch="main"), number=1, workflow="w", workflow_number=1, workspace="/w")
        evaluate([Condition(filters={}, matrix={}, evaluate=Text(expected))], Event(), {}, variables=known)


UNSUPPORTED = [
    *("steps.a.outcome == 'success'", "fromJSON('[]')", "a == ", "(a", "failure() || github.actor == 'x'"),
    *("github.event_name == 'issues'", "cancelled()", "a ** b", ""),
]


@pytest.mark.parametrize("written", UNSUPPORTED)
def test_conditions_without_a_counterpart(written: str) -> None:
    """They are said to be so."""
    with pytest.raises(UnsupportedError):
        condition(written, {})


@pytest.mark.parametrize(
    ("written", "cells"),
    [
        ("{a: [1, 2], exclude: [{a: 1}]}", {"A": ["1", "2"], "exclude": [{"A": "1"}]}),
        ("{a: [1], include: [{a: 2}]}", {"A": ["1"], "include": [{"A": "2"}]}),
        ("{include: [{a-b: 1}, {1c: 2}]}", {"include": [{"A_B": "1"}, {"_1C": "2"}]}),
        # the example of GitHub's documentation
        (
            "{fruit: [apple, pear], animal: [cat, dog], include: [{color: green}, {color: pink, animal: cat},"
            " {fruit: apple, shape: circle}, {fruit: banana}, {fruit: banana, animal: cat}]}",
            {
                "include": [
                    {"FRUIT": "apple", "ANIMAL": "cat", "COLOR": "pink", "SHAPE": "circle"},
                    {"FRUIT": "apple", "ANIMAL": "dog", "COLOR": "green", "SHAPE": "circle"},
                    {"FRUIT": "pear", "ANIMAL": "cat", "COLOR": "pink"},
                    {"FRUIT": "pear", "ANIMAL": "dog", "COLOR": "green"},
                    {"FRUIT": "banana"},
                    {"FRUIT": "banana", "ANIMAL": "cat"},
                ]
            },
        ),
    ],
)
def test_matrices(written: str, cells: dict[str, Any]) -> None:
    """The same cells, written as axes where that says them."""
    assert matrix(node(written), lambda *_: None)[0] == cells


WORDS = st.sampled_from(
    [
        *(
            "on",
            "jobs",
            "steps",
            "run",
            "uses",
            "with",
            "env",
            "name",
            "id",
            "if",
            "needs",
            "strategy",
            "matrix",
            "key",
        ),
        *("include", "services", "image", "ports", "options", "shell", "push", "path", "container", "runs-on", "!x"),
        *(
            "actions/cache@v4",
            "actions/checkout@v4",
            "actions/upload-artifact@v3",
            "docker://x",
            "defaults",
            "branches",
        ),
        *("${{ matrix.a }}", "${{ secrets.B }}", "${{", "a b", "1", "true", "ubuntu-latest", "${HOME}", "$$"),
    ]
)
VALUES = st.recursive(
    WORDS | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
STEP = st.dictionaries(st.sampled_from(["run", "uses", "with", "env", "name", "id", "if", "shell"]), VALUES, max_size=5)
JOB = st.fixed_dictionaries(
    {"steps": st.lists(STEP | VALUES, max_size=4)},
    optional=dict.fromkeys(("needs", "strategy", "services", "container", "env", "runs-on", "if", "defaults"), VALUES),
)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    st.fixed_dictionaries(
        {"on": VALUES, "jobs": st.dictionaries(WORDS, JOB | VALUES, max_size=2)}, optional={"env": VALUES}
    )
)
def test_nearly_right_workflows(workflow: dict[str, Any]) -> None:
    """Keys with values of any shape never raise, and what comes out is read without raising."""
    text, _ = converted(yaml.safe_dump(workflow, allow_unicode=True))
    loaded = ci.pipeline.load(text)
    if loaded.ok:
        try:
            compile_all(loaded.documents, Event(branch="main"))
        except CompileError as error:
            assert error.position.line
