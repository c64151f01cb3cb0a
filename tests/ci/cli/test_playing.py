"""The event that is played: what the options say, over git or a saved webhook."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import TYPE_CHECKING

import pytest

from ci.cli import playing
from ci.errors import CiError
from ci.pipeline.event import Event, EventKind

if TYPE_CHECKING:
    from pathlib import Path

AROUND = playing.Surroundings(user="me", created=5, platform="linux/arm64")


def play(project: Path, *words: str) -> Event:
    """Play in a folder."""
    parser = ArgumentParser()
    playing.configure(parser)
    return playing.play(parser.parse_args(words), project, AROUND)


def test_a_push_is_the_default(tmp_path: Path) -> None:
    """Of what is there; --branch plays another."""
    assert play(tmp_path).kind is EventKind.PUSH
    played = play(tmp_path, "--branch", "release/1")
    assert (played.full_ref, played.author, played.created) == ("refs/heads/release/1", "me", 5)


def test_a_tag_and_a_number_imply_their_event(tmp_path: Path) -> None:
    """--tag a tag, which need not exist, --pr a pull request."""
    tagged = play(tmp_path, "--tag", "v9")
    assert (tagged.kind, tagged.tag, tagged.full_ref) == (EventKind.TAG, "v9", "refs/tags/v9")
    asked = play(tmp_path, "--pr", "7", "--branch", "main")
    assert (asked.kind, asked.branch, asked.full_ref) == (EventKind.PULL_REQUEST, "main", "refs/pull/7/head")
    assert play(tmp_path, "--event", "release", "--tag", "v9").kind is EventKind.RELEASE


def test_deployments_and_schedules(tmp_path: Path) -> None:
    """--target names what is deployed to, --cron the schedule."""
    deployed = play(tmp_path, "--target", "production")
    assert (deployed.kind, deployed.deploy_target) == (EventKind.DEPLOYMENT, "production")
    assert play(tmp_path, "--event", "rollback", "--target", "production").kind is EventKind.ROLLBACK
    nightly = play(tmp_path, "--cron", "nightly")
    assert (nightly.kind, nightly.cron) == (EventKind.CRON, "nightly")


def test_a_saved_webhook_is_played(tmp_path: Path) -> None:
    """With the machine's platform; options count more."""
    file = tmp_path / "hook.json"
    file.write_text(json.dumps({"ref": "refs/heads/x", "after": "1" * 40}))
    played = play(tmp_path, "--payload", str(file), "--branch", "y")
    assert (played.full_ref, played.commit, played.platform) == ("refs/heads/y", "1" * 40, "linux/arm64")


GITLAB = {"project": {"path_with_namespace": "team/app", "git_http_url": "https://lab.example/team/app.git"}}
GITEA = {"repository": {"full_name": "team/app", "clone_url": "https://tea.example/team/app.git"}}


@pytest.mark.parametrize(
    ("body", "ref", "branch"),
    [
        (GITLAB | {"object_kind": "push", "ref": "refs/heads/x", "after": "1" * 40}, "refs/heads/x", "x"),
        (GITLAB | {"object_kind": "tag_push", "ref": "refs/tags/v1", "after": "1" * 40}, "refs/tags/v1", ""),
        (
            GITLAB
            | {"object_kind": "merge_request"}
            | {"object_attributes": {"action": "open", "iid": 7, "source_branch": "fix", "target_branch": "main"}},
            "refs/merge-requests/7/head",
            "main",
        ),
        (GITEA | {"ref": "v1", "ref_type": "tag", "sha": "1" * 40}, "refs/tags/v1", ""),
        (
            GITEA
            | {"action": "opened", "number": 7}
            | {"pull_request": {"head": {"ref": "fix", "sha": "1" * 40}, "base": {"ref": "main"}}},
            "refs/pull/7/head",
            "main",
        ),
    ],
)
def test_webhooks_of_other_forges(tmp_path: Path, body: dict[str, object], ref: str, branch: str) -> None:
    """GitLab's name their kind, Gitea's are as GitHub's; both say the repository."""
    file = tmp_path / "hook.json"
    file.write_text(json.dumps(body))
    played = play(tmp_path, "--payload", str(file))
    assert (played.full_ref, played.branch, played.repository) == (ref, branch, "team/app")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--tag v1 --pr 1", "--tag and --pr are of different events"),
        ("--event push --tag v1", "--tag does not go with the event push"),
        ("--event push --cron x", "--cron does not go with the event push"),
        ("--target x --pr 1", "--pr and --target are of different events"),
        ("--event tag --pr 1", "--pr does not go with the event tag"),
        ("--pr 0", "--pr: 0 is not a number from 1 on"),
        ("--event tag --payload {file}", "is of the event push, not tag"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path: Path, words: str, message: str) -> None:
    """Before anything runs."""
    file = tmp_path / "hook.json"
    file.write_text(json.dumps({"ref": "refs/heads/x", "after": "1" * 40}))
    with pytest.raises(CiError, match=message):
        play(tmp_path, *words.format(file=file).split())
