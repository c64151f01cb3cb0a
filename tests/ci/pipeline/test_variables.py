"""The `CI_*` variables."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from ci.pipeline.event import Event, EventKind, Previous, platform
from ci.pipeline.variables import NAMES, SYSTEM_VERSION, VALUE_LIMIT, step_variables, variables


def make(event: Event, machine: str = "") -> dict[str, str]:
    """The variables of an event, for one container."""
    shared = variables(event, number=12, workflow="test", workflow_number=2, workspace="/hako/src", machine=machine)
    return shared | step_variables("unit", 3, "commands")


FULL = Event(
    branch="main",
    commit="a" * 40,
    message="fix: it's $(id)\n\nbody",
    author="Ada",
    author_email="ada@example.org",
    repository="group/sub/app",
    remote_url="https://git.example.org/group/sub/app.git",
    default_branch="main",
    tag="v1",
    changed_files=("a.c", "é"),
    created=1700000000,
    instance="ci.example.org",
)


def test_push() -> None:
    """Every variable of a push, with its value."""
    assert make(FULL, machine="box7") == {
        "CI": "hako",
        "CI_REPO": "group/sub/app",
        "CI_REPO_OWNER": "group/sub",
        "CI_REPO_NAME": "app",
        "CI_REPO_URL": "https://git.example.org/group/sub/app",
        "CI_REPO_SCM": "git",
        "CI_REPO_CLONE_URL": "https://git.example.org/group/sub/app.git",
        "CI_REPO_PRIVATE": "false",
        "CI_REPO_TRUSTED": "false",
        "CI_REPO_TRUSTED_NETWORK": "false",
        "CI_REPO_TRUSTED_SECURITY": "false",
        "CI_REPO_TRUSTED_VOLUMES": "false",
        "CI_REPO_DEFAULT_BRANCH": "main",
        "CI_COMMIT_SHA": "a" * 40,
        "CI_COMMIT_REF": "refs/heads/main",
        "CI_COMMIT_BRANCH": "main",
        "CI_COMMIT_MESSAGE": "fix: it's $(id)\n\nbody",
        "CI_COMMIT_AUTHOR": "Ada",
        "CI_COMMIT_AUTHOR_EMAIL": "ada@example.org",
        "CI_PIPELINE_NUMBER": "12",
        "CI_PIPELINE_EVENT": "push",
        "CI_PIPELINE_PARENT": "0",
        "CI_PIPELINE_CREATED": "1700000000",
        "CI_PIPELINE_STARTED": "1700000000",
        "CI_PIPELINE_STATUS": "success",
        "CI_PIPELINE_FILES": '["a.c", "é"]',
        "CI_WORKFLOW_NAME": "test",
        "CI_WORKFLOW_NUMBER": "2",
        "CI_STEP_NAME": "unit",
        "CI_STEP_NUMBER": "3",
        "CI_STEP_TYPE": "commands",
        "CI_WORKSPACE": "/hako/src",
        "CI_SYSTEM_NAME": "hako",
        "CI_SYSTEM_HOST": "ci.example.org",
        "CI_SYSTEM_PLATFORM": "linux/amd64",
        "CI_SYSTEM_VERSION": SYSTEM_VERSION,
        "CI_MACHINE": "box7",
    }


def test_tag_and_pull_request() -> None:
    """The tag is there for a tag's event only; a pull request has a source and a target."""
    tag = make(Event(kind=EventKind.TAG, tag="v1.2"))
    assert (tag["CI_COMMIT_TAG"], tag["CI_COMMIT_REF"]) == ("v1.2", "refs/tags/v1.2")
    assert "CI_COMMIT_BRANCH" not in tag
    pull = make(Event(kind=EventKind.PULL_REQUEST, branch="main", source_branch="topic", pull_request=7))
    assert pull["CI_COMMIT_BRANCH"] == pull["CI_COMMIT_TARGET_BRANCH"] == "main"
    assert (pull["CI_COMMIT_SOURCE_BRANCH"], pull["CI_COMMIT_PULL_REQUEST"]) == ("topic", "7")
    assert (pull["CI_COMMIT_REFSPEC"], pull["CI_COMMIT_REF"]) == ("topic:main", "refs/pull/7/head")


def test_known_names_are_all_names() -> None:
    """What a file may name and what a container gets are the same, but for what only the runner knows."""
    names: set[str] = set()
    for kind in EventKind:
        event = Event(kind=kind, **_everything())  # type: ignore[arg-type]
        again = replace(event, previous=Previous(number=3, status="failure", event=event, started=1, finished=2))
        names |= set(make(again, machine="box"))
    assert names - {"CI_MACHINE"} == NAMES


def _everything() -> dict[str, object]:
    return {
        "branch": "b",
        "source_branch": "s",
        "tag": "t",
        "message": "m",
        "author": "a",
        "author_email": "e",
        "repository": "o/n",
        "remote_url": "https://x/o/n",
        "default_branch": "b",
        "pull_request": 1,
        "cron": "c",
        "changed_files": ("f",),
        "created": 1,
        "instance": "i",
        "ssh_url": "git@x:o/n",
        "labels": ("l",),
        "milestone": "m",
        "action": "opened",
        "sender": "s",
        "author_avatar": "https://x/a.png",
        "link": "https://x/o/n/commit/1",
        "deploy_target": "production",
        "deploy_task": "migrate",
        "parent": 2,
        "server_url": "https://ci",
        "build_url": "https://ci/1",
        "forge": "gitea",
        "forge_url": "https://x",
        "repository_id": "7",
        "committed": 1,
        "reruns": 1,
        "release_title": "first",
        "sender_avatar": "https://x/s.png",
    }


def test_the_version_is_the_packages() -> None:
    """What the variables say is what the package is."""
    assert version("hako") == SYSTEM_VERSION


def test_a_draft_and_a_release() -> None:
    """What a pull request and a release say of themselves is of their events alone."""
    facts: dict[str, Any] = {"draft": True, "prerelease": True, "release_title": "One", "trusted": True, "reruns": 2}
    draft = make(Event(kind=EventKind.PULL_REQUEST, pull_request=1, **facts))
    release = make(Event(kind=EventKind.RELEASE, tag="v1", **facts))
    push = make(Event(branch="main", **facts))
    names = ("CI_COMMIT_PULL_REQUEST_DRAFT", "CI_PIPELINE_RELEASE_PRE", "CI_PIPELINE_RELEASE_TITLE")
    assert [draft.get(name) for name in names] == ["true", None, None]
    assert [release.get(name) for name in names] == [None, "true", "One"]
    assert [push.get(name) for name in names] == [None, None, None]
    assert (push["CI_REPO_TRUSTED_VOLUMES"], push["CI_PIPELINE_RERUNS"], push["CI_PIPELINE_FILES"]) == (
        "true",
        "2",
        "[]",
    )


def test_an_environment_can_hold_them() -> None:
    """A message of a megabyte, with NUL characters and half of a pair, does not stop a program from starting."""
    found = make(Event(message="\0é" * 500_000, author="\ud800", changed_files=("x" * 100,) * 501))
    assert len(found["CI_COMMIT_MESSAGE"].encode()) <= VALUE_LIMIT
    assert "\0" not in found["CI_COMMIT_MESSAGE"]
    assert "CI_PIPELINE_FILES" not in found
    assert os.posix_spawn(
        "/bin/true", ["true"], {name: value for name, value in found.items() if name != "CI_COMMIT_AUTHOR"}
    )
    assert json.loads(make(Event(changed_files=('"',)))["CI_PIPELINE_FILES"]) == ['"']


def test_platform() -> None:
    """Names of platforms are those of images."""
    assert platform("Linux", "x86_64") == "linux/amd64"
    assert platform("Linux", "aarch64") == "linux/arm64"
    assert platform("Linux", "riscv64") == "linux/riscv64"
