"""What each system's variables say of each event: the table that its own documentation and sources give.

woodpecker: pipeline/frontend/metadata/environment.go; drone: runner-go/environ, and what its server makes of webhooks.
Only what an event decides is here; all variables with all values are in the golden files `variables-all`.
"""

from __future__ import annotations

from typing import Any

import pytest

import ci.pipeline
from ci.pipeline.compile import compile_all
from ci.pipeline.event import Event, EventKind

COMMON: dict[str, Any] = {"commit": "a" * 40, "repository": "team/app", "author": "Ada", "sender": "bob"}
EVENTS: dict[EventKind, dict[str, Any]] = {
    EventKind.PUSH: {"branch": "main"},
    EventKind.TAG: {"tag": "v1"},
    EventKind.PULL_REQUEST: {"branch": "main", "source_branch": "fix", "pull_request": 7, "action": "opened"},
    EventKind.PULL_REQUEST_CLOSED: {"branch": "main", "source_branch": "fix", "pull_request": 7, "action": "closed"},
    EventKind.PULL_REQUEST_METADATA: {"branch": "main", "source_branch": "fix", "pull_request": 7, "action": "labeled"},
    EventKind.RELEASE: {"tag": "v1", "branch": "main", "release_title": "One", "prerelease": True},
    EventKind.DEPLOYMENT: {"branch": "main", "deploy_target": "production", "deploy_task": "migrate", "parent": 3},
    EventKind.ROLLBACK: {"branch": "main", "deploy_target": "production", "parent": 3},
    EventKind.CRON: {"branch": "main", "cron": "nightly"},
    EventKind.MANUAL: {"branch": "main", "parameters": (("LEVEL", "high"),)},
}
# event, branch, ref, refspec, source, target, tag, pull request, reason
WOODPECKER = {
    "push": ("push", "main", "refs/heads/main", "", "", "", "", "", ""),
    "tag": ("tag", "", "refs/tags/v1", "", "", "", "v1", "", ""),
    "pull_request": ("pull_request", "main", "refs/pull/7/head", "fix:main", "fix", "main", "", "7", "opened"),
    "pull_request_closed": (
        ("pull_request_closed", "main", "refs/pull/7/head", "fix:main", "fix", "main", "", "7", "closed")
    ),
    "pull_request_metadata": (
        ("pull_request_metadata", "main", "refs/pull/7/head", "fix:main", "fix", "main", "", "7", "labeled")
    ),
    "release": ("release", "main", "refs/tags/v1", "", "", "", "v1", "", ""),
    "deployment": ("deployment", "main", "refs/heads/main", "", "", "", "", "", ""),
    "rollback": ("deployment", "main", "refs/heads/main", "", "", "", "", "", ""),
    "cron": ("cron", "main", "refs/heads/main", "", "", "", "", "", ""),
    "manual": ("manual", "main", "refs/heads/main", "", "", "", "", "", ""),
}
WOODPECKER_NAMES = (
    *("CI_PIPELINE_EVENT", "CI_COMMIT_BRANCH", "CI_COMMIT_REF", "CI_COMMIT_REFSPEC", "CI_COMMIT_SOURCE_BRANCH"),
    *("CI_COMMIT_TARGET_BRANCH", "CI_COMMIT_TAG", "CI_COMMIT_PULL_REQUEST", "CI_PIPELINE_EVENT_REASON"),
)
# event, branch, source, target, ref, tag, pull request, action, deploy to, cron, trigger, parent
DRONE = {
    "push": ("push", "main", "main", "main", "refs/heads/main", "", "", "", "", "", "bob", "0"),
    "tag": ("tag", "v1", "v1", "v1", "refs/tags/v1", "v1", "", "", "", "", "bob", "0"),
    "pull_request": ("pull_request", "main", "fix", "main", "refs/pull/7/head", "", "7", "opened", "", "", "bob", "0"),
    "pull_request_closed": (
        ("pull_request", "main", "fix", "main", "refs/pull/7/head", "", "7", "closed", "", "", "bob", "0")
    ),
    "pull_request_metadata": (
        ("pull_request", "main", "fix", "main", "refs/pull/7/head", "", "7", "labeled", "", "", "bob", "0")
    ),
    "release": ("tag", "v1", "v1", "v1", "refs/tags/v1", "v1", "", "", "", "", "bob", "0"),
    "deployment": ("promote", "main", "main", "main", "refs/heads/main", "", "", "", "production", "", "bob", "3"),
    "rollback": ("rollback", "main", "main", "main", "refs/heads/main", "", "", "", "production", "", "bob", "3"),
    "cron": ("cron", "main", "main", "main", "refs/heads/main", "", "", "", "", "nightly", "@cron", "0"),
    "manual": ("custom", "main", "main", "main", "refs/heads/main", "", "", "", "", "", "bob", "0"),
}
DRONE_NAMES = (
    *("DRONE_BUILD_EVENT", "DRONE_BRANCH", "DRONE_SOURCE_BRANCH", "DRONE_TARGET_BRANCH", "DRONE_COMMIT_REF"),
    *("DRONE_TAG", "DRONE_PULL_REQUEST", "DRONE_BUILD_ACTION", "DRONE_DEPLOY_TO", "DRONE_CRON"),
    *("DRONE_BUILD_TRIGGER", "DRONE_BUILD_PARENT"),
)


def environment(kind: EventKind, name: str, text: str) -> dict[str, str]:
    """The environment of the one step."""
    event = Event(kind=kind, **COMMON, **EVENTS[kind])
    (stage,) = compile_all(ci.pipeline.load(text, name).require(), event, number=12)
    return dict(stage.steps[0].environment)


@pytest.mark.parametrize("kind", EventKind, ids=str)
def test_woodpecker(kind: EventKind) -> None:
    """Each is set as there, and not at all where it has no value; so in our own dialect, but for rollback's name."""
    found = environment(kind, ".woodpecker.yml", "steps: [{name: a, image: b, commands: [c]}]")
    assert tuple(found.get(name, "") for name in WOODPECKER_NAMES) == WOODPECKER[kind.value]
    ours = environment(kind, ".ci.yml", "steps: [{name: a, image: b, commands: [c]}]")
    assert {name: ours.get(name) for name in WOODPECKER_NAMES[1:]} == {
        name: found.get(name) for name in WOODPECKER_NAMES[1:]
    }
    assert ours["CI_PIPELINE_EVENT"] == kind.value
    released = {"CI_COMMIT_PRERELEASE": "true", "CI_PIPELINE_RELEASE_TITLE": "One", "CI_PIPELINE_RELEASE_PRE": "true"}
    assert {name: found[name] for name in released if name in found} == (released if kind == "release" else {})
    assert found.get("CI_PIPELINE_DEPLOY_TARGET") == EVENTS[kind].get("deploy_target")
    assert found.get("CI_PIPELINE_DEPLOY_TASK") == EVENTS[kind].get("deploy_task")
    assert found["CI_PIPELINE_PARENT"] == str(EVENTS[kind].get("parent", 0))
    assert found.get("CI_PIPELINE_CRON") == EVENTS[kind].get("cron")
    assert found.get("LEVEL") == ("high" if kind == "manual" else None)


@pytest.mark.parametrize("kind", EventKind, ids=str)
def test_drone(kind: EventKind) -> None:
    """A tag's branch is the tag, a deployment is a promotion, and whoever began it is its trigger."""
    found = environment(kind, ".drone.yml", "{kind: pipeline, steps: [{name: a, image: b, commands: [c]}]}")
    assert tuple(found.get(name, "") for name in DRONE_NAMES) == DRONE[kind.value]
    assert found["DRONE_COMMIT"] == found["DRONE_COMMIT_SHA"] == found["DRONE_COMMIT_AFTER"] == "a" * 40
    assert found.get("LEVEL") == ("high" if kind == "manual" else None)
    assert ("DRONE_SEMVER_ERROR" in found) == (kind in {EventKind.TAG, EventKind.RELEASE})


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        ("commands: [c]", "commands"),
        ("settings: {a: 1}", "plugin"),
        ("entrypoint: [c]", "commands"),
        ("environment: {A: b}", "commands"),
    ],
)
def test_what_woodpecker_takes_for_a_plugin(step: str, kind: str) -> None:
    """A step without commands, entrypoint and environment."""
    found = environment(EventKind.PUSH, ".woodpecker.yml", f"steps: [{{name: a, image: b, {step}}}]")
    assert found["CI_STEP_TYPE"] == kind
