"""Bodies of webhooks, as GitHub and Gitea write them, and what is no such body."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.errors import CiError
from ci.forge.payload import read
from ci.pipeline.event import NULL_COMMIT, Event, EventKind

SHA = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
REPOSITORY = {
    "full_name": "team/app",
    "clone_url": "https://forge.example/team/app.git",
    "default_branch": "main",
}


def body(**keys: Any) -> bytes:
    """A body of the repository team/app."""
    return json.dumps({"repository": REPOSITORY, "sender": {"login": "ann"}} | keys).encode()


def event(**keys: Any) -> Event:
    """Its event."""
    return read(body(**keys), "hook.json")


def test_a_push() -> None:
    """Of several commits: the head's message and author, the files of all."""
    head = {
        "message": "Second\n\nwhy\n",
        "author": {"name": "Ann", "email": "ann@example.org"},
        "timestamp": "2026-11-24T12:00:00+02:00",
    }
    commits = [
        {"added": ["a"], "removed": [], "modified": ["b"]},
        {"added": [], "removed": ["c"], "modified": ["b"]},
    ]
    found = event(ref="refs/heads/topic/x", before="1" * 40, after=SHA, commits=commits, head_commit=head)
    assert found == Event(
        kind=EventKind.PUSH,
        branch="topic/x",
        ref="refs/heads/topic/x",
        commit=SHA,
        message="Second\n\nwhy",
        committed=1795514400,
        author="Ann",
        author_email="ann@example.org",
        sender="ann",
        before="1" * 40,
        repository="team/app",
        remote_url="https://forge.example/team/app.git",
        default_branch="main",
        changed_files=("a", "b", "c"),
    )


def test_files_that_are_not_listed_are_not_known() -> None:
    """Gitea's and GitHub's commits have lists; without them a `path` condition must not decide."""
    found = event(ref="refs/heads/main", after=SHA, commits=[{"id": SHA}], head_commit={"message": "x"})
    assert found.changed_files is None


def test_tags() -> None:
    """Pushed, or told by the event "create", whose reference is short."""
    pushed = event(ref="refs/tags/v1.2", after=SHA, commits=[], head_commit=None)
    assert (pushed.kind, pushed.tag, pushed.full_ref, pushed.commit) == (EventKind.TAG, "v1.2", "refs/tags/v1.2", SHA)
    created = event(ref="v1.2", ref_type="tag", master_branch="main")
    assert (created.kind, created.tag, created.full_ref) == (EventKind.TAG, "v1.2", "refs/tags/v1.2")
    assert (created.commit, created.author) == (NULL_COMMIT, "ann")


@pytest.mark.parametrize("repository", [None, {"full_name": "bob/app"}], ids=["fork deleted", "fork"])
def test_a_pull_request(repository: object) -> None:
    """The branch is the one it goes to; a fork that is gone is no obstacle."""
    found = event(
        action="opened",
        number=7,
        pull_request={
            "title": "Fix it",
            "body": None,
            "user": {"login": "bob"},
            "head": {"ref": "fix", "sha": SHA, "repo": repository},
            "base": {"ref": "main", "sha": "2" * 40, "repo": REPOSITORY},
        },
    )
    assert (found.kind, found.branch, found.source_branch, found.pull_request) == (
        EventKind.PULL_REQUEST,
        "main",
        "fix",
        7,
    )
    assert (found.commit, found.message, found.author, found.changed_files) == (SHA, "Fix it", "bob", None)
    assert found.full_ref == "refs/pull/7/head"


def test_a_release() -> None:
    """Named by its tag, and on the branch it was made from."""
    release = {"tag_name": "v2", "target_commitish": "main", "name": "Two", "author": {"login": "ann"}}
    found = event(action="published", release=release)
    assert (found.kind, found.tag, found.branch, found.ref) == (EventKind.RELEASE, "v2", "main", "refs/tags/v2")
    assert (found.message, found.author) == ("Two", "ann")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"\xff{}", "no JSON"),
        (b"[]", "not the body of"),
        (b'{"zen": "ping"}', "not the body of"),
        (body(ref="refs/heads/x", after=NULL_COMMIT), "refs/heads/x was deleted"),
        (body(ref="x", ref_type="branch"), "a branch was created"),
    ],
)
def test_what_is_no_event_is_said(text: bytes, words: str) -> None:
    """In one line that names the file."""
    with pytest.raises(CiError, match=f"^hook.json: .*{words}"):
        read(text, "hook.json")


_VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=4)
_KEYS = st.sampled_from(["ref", "after", "ref_type", "commits", "head_commit", "pull_request", "release", "number"])


@given(st.dictionaries(_KEYS, _VALUES | st.dictionaries(st.text(), _VALUES)))
def test_any_shape_is_read_or_refused(keys: dict[str, Any]) -> None:
    """A value of another type counts as not there; nothing else is ever raised."""
    try:
        read(json.dumps(keys).encode(), "hook.json")
    except CiError:
        return


@pytest.mark.parametrize(
    ("action", "kind", "said"),
    [
        ("opened", EventKind.PULL_REQUEST, "opened"),
        ("synchronize", EventKind.PULL_REQUEST, "synchronized"),
        ("closed", EventKind.PULL_REQUEST_CLOSED, "closed"),
        ("labeled", EventKind.PULL_REQUEST_METADATA, "labeled"),
    ],
)
def test_what_happened_to_a_pull_request(action: str, kind: EventKind, said: str) -> None:
    """New files, its end, and what is said of it are different events; labels and the like are known."""
    found = event(
        action=action,
        number=7,
        pull_request={
            "title": "Title",
            "html_url": "https://forge.example/team/app/pulls/7",
            "labels": [{"name": "bug"}, {"name": "ui"}],
            "milestone": {"title": "1.0"},
            "user": {"login": "bob", "avatar_url": "https://forge.example/bob.png"},
        },
    )
    assert (found.kind, found.action, found.pull_request) == (kind, said, 7)
    assert (found.labels, found.milestone, found.pull_request_title) == (("bug", "ui"), "1.0", "Title")
    assert (found.author_login, found.author_avatar, found.sender) == ("bob", "https://forge.example/bob.png", "ann")


def test_a_deployment() -> None:
    """Where to and what to do; a reference that is the commit itself is no branch."""
    found = event(deployment={"ref": "main", "sha": SHA, "environment": "production", "task": "migrate"})
    assert (found.kind, found.branch, found.commit) == (EventKind.DEPLOYMENT, "main", SHA)
    assert (found.deploy_target, found.deploy_task) == ("production", "migrate")
    assert event(deployment={"ref": SHA, "sha": SHA}).branch == ""
