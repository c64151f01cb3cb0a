"""`when`: which events and cells a step takes part in."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ci.pipeline
from ci.pipeline.conditions import evaluate
from ci.pipeline.event import Event, EventKind

PUSH = Event(
    branch="main",
    repository="team/app",
    changed_files=("src/a.c", "README.md"),
    instance="ci.example.org",
)
TAG = replace(PUSH, kind=EventKind.TAG, branch="", tag="v1.2")
PULL = replace(PUSH, kind=EventKind.PULL_REQUEST, source_branch="topic", pull_request=7)
CRON = replace(PUSH, kind=EventKind.CRON, cron="nightly")
MANUAL = replace(PUSH, kind=EventKind.MANUAL)


def outcome(when: str, event: Event, **cell: str) -> str:
    """What becomes of a step with this condition: `success`, `failure`, both, or nothing."""
    text = f"matrix: {{include: [{{GO: a, DB: b}}]}}\nsteps: [{{name: a, image: b, when: {when}}}]"
    loaded = ci.pipeline.load(text)
    assert loaded.ok, loaded.diagnostics
    result = evaluate(loaded.documents[0].steps[0].when, event, cell)
    return " ".join(["success"] * result.on_success + ["failure"] * result.on_failure)


@pytest.mark.parametrize(
    ("when", "holds", "fails"),
    [
        ("{event: push}", [PUSH], [TAG, PULL, CRON, MANUAL]),
        ("{event: [tag, pull_request]}", [TAG, PULL], [PUSH, CRON]),
        ("{event: {exclude: [push, cron]}}", [TAG, PULL, MANUAL], [PUSH, CRON]),
        # The target's branch on a pull request; a tag is on no branch, and the filter does not look at it.
        ("{branch: main}", [PUSH, PULL, TAG, replace(PUSH, branch="main")], [replace(PUSH, branch="dev")]),
        ("{branch: 'release/**'}", [replace(PUSH, branch="release/1/2")], [PUSH, replace(PUSH, branch="")]),
        ("{branch: {include: '*', exclude: [dev, main]}}", [replace(PUSH, branch="x")], [PUSH]),
        ("{tag: 'v*'}", [TAG], [PUSH, replace(PUSH, tag="v1"), replace(TAG, tag="x")]),
        ("{ref: 'refs/tags/**'}", [TAG], [PUSH]),
        ("{ref: refs/pull/7/head}", [PULL], [PUSH]),
        ("{repo: 'team/*'}", [PUSH], [replace(PUSH, repository="other/app")]),
        ("{platform: linux/amd64}", [PUSH], [replace(PUSH, platform="linux/arm64")]),
        ("{instance: '*.example.org'}", [PUSH], [replace(PUSH, instance="")]),
        ("{cron: nightly}", [CRON, PUSH], [replace(CRON, cron="weekly")]),
        ("{event: cron, cron: nightly}", [CRON], [PUSH]),
        # One file is enough; only pushes and pull requests are looked at; unknown files and none speak for it.
        (
            "{path: 'src/**'}",
            [PUSH, PULL, MANUAL, replace(PUSH, changed_files=None)],
            [replace(PUSH, changed_files=("x",))],
        ),
        ("{path: 'docs/**'}", [TAG, CRON, replace(PUSH, changed_files=())], [PUSH, PULL]),
        ("{path: {exclude: '**/*.md'}}", [PUSH], [replace(PUSH, changed_files=("README.md", "docs/a.md"))]),
        (
            "{path: {include: 'src/**', exclude: '**/*.c'}}",
            [PUSH, replace(PUSH, changed_files=("src/a.h",))],
            [replace(PUSH, changed_files=("src/a.c",)), replace(PUSH, changed_files=("README.md",))],
        ),
        (
            "{path: {include: 'docs/**', ignore_message: '[ALL]', on_empty: false}}",
            [replace(PUSH, message="x [all] y"), replace(PUSH, changed_files=None)],
            [PUSH, replace(PUSH, changed_files=())],
        ),
        # All filters of a map; one map of several.
        ("{event: push, branch: main}", [PUSH], [PULL, replace(PUSH, branch="dev")]),
        ("[{event: tag}, {event: push, branch: main}]", [PUSH, TAG], [PULL, replace(PUSH, branch="dev")]),
    ],
)
def test_facts(when: str, holds: list[Event], fails: list[Event]) -> None:
    """Each fact, with events for which the condition holds and for which it does not."""
    assert [event for event in holds if not outcome(when, event)] == []
    assert [event for event in fails if outcome(when, event)] == []


def test_matrix() -> None:
    """A cell's variables are facts too; one that the cell does not have is empty."""
    assert outcome("{matrix: {GO: '1.*', DB: [x, y]}}", PUSH, GO="1.21", DB="y")
    assert not outcome("{matrix: {GO: '1.*', DB: [x, y]}}", PUSH, GO="1.21", DB="z")
    assert not outcome("{matrix: {GO: '1.*'}}", PUSH)
    assert outcome("{matrix: {GO: {exclude: '1.*'}}}", PUSH)


@pytest.mark.parametrize(
    ("when", "result"),
    [
        ("{branch: main}", "success"),
        ("{status: success}", "success"),
        ("{status: failure}", "failure"),
        ("{status: [success, failure]}", "success failure"),
        ("{status: {exclude: success}}", "failure"),
        ("[{branch: main}, {event: push, status: failure}]", "success failure"),
        ("[{branch: dev}, {status: failure}]", "failure"),
        ("{branch: dev, status: [success, failure]}", ""),
    ],
)
def test_status(when: str, result: str) -> None:
    """`status` says when a step runs; of alternatives, those that hold are put together."""
    assert outcome(when, PUSH) == result


WORDS = {
    "event": [kind.value for kind in (EventKind.PUSH, EventKind.CRON, EventKind.MANUAL)],
    "branch": ["main", "next", "a/b"],
    "repo": ["team/app", "team/lib"],
    "status": ["success", "failure"],
}
CHOICES = {
    fact: st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("include", "exclude"), st.lists(st.sampled_from(words), min_size=1, unique=True))
    )
    for fact, words in WORDS.items()
}
MAPS = st.lists(st.fixed_dictionaries({}, optional=CHOICES), min_size=1, max_size=3)


def fits(chosen: dict[str, list[str]], value: str) -> bool:
    """What include and exclude mean for a word."""
    return value in chosen.get("include", [value]) and value not in chosen.get("exclude", [])


@given(MAPS, st.sampled_from([PUSH, CRON, MANUAL]), st.sampled_from(WORDS["branch"]), st.sampled_from(WORDS["repo"]))
def test_any_condition(maps: list[dict[str, Any]], event: Event, branch: str, repository: str) -> None:
    """One of the maps must hold, all facts of a map, one pattern of a fact; a status counts where its map holds."""
    event = replace(event, branch=branch, repository=repository)
    found = {"event": event.kind.value, "branch": branch, "repo": repository}
    written = [{fact: chosen for fact, chosen in one.items() if chosen} for one in maps]
    holding = [one for one in written if all(fits(one.get(fact, {}), value) for fact, value in found.items())]
    fails = [one for one in holding if "status" in one and fits(one["status"], "failure")]
    succeeds = [one for one in holding if one not in fails or fits(one["status"], "success")]
    expected = ["success"] * bool(succeeds) + ["failure"] * bool(fails)
    assert outcome(json.dumps(written), event) == " ".join(expected)
