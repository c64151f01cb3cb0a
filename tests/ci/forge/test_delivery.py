"""Requests of forges: whose they are, and what is built for them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.errors import CiError
from ci.forge.delivery import Delivery, read
from ci.pipeline.event import NULL_COMMIT, EventKind

SHA = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
REPOSITORY = {"id": 7, "full_name": "team/app", "clone_url": "https://forge.example/team/app.git"}
PROJECT = {
    "id": 9,
    "path_with_namespace": "group/app",
    "git_http_url": "https://gitlab.example/group/app.git",
    "git_ssh_url": "git@gitlab.example:group/app.git",
    "default_branch": "main",
    "visibility_level": 20,
}
GITHUB = {"x-github-event": "push", "x-github-delivery": "d-1", "content-type": "application/json"}
GITEA = GITHUB | {"x-gitea-event": "push", "x-gitea-delivery": "d-2"}
GITLAB = {"x-gitlab-event": "Push Hook", "x-gitlab-event-uuid": "d-3", "content-type": "application/json"}


def deliver(headers: dict[str, str], **body: Any) -> Delivery:
    """A request with this body."""
    return read(headers, json.dumps({"repository": REPOSITORY} | body).encode())


def on_gitlab(**body: Any) -> Delivery:
    """The same from GitLab."""
    return deliver(GITLAB, project=PROJECT, **body)


def pull_request(action: str, *, head: Any = None, **more: Any) -> Delivery:
    """What GitHub says of a pull request; `head` is its repository, by default the base's."""
    about = {
        "head": {"ref": "topic", "sha": SHA, "repo": REPOSITORY if head is None else head or None},
        "base": {"ref": "main", "repo": REPOSITORY},
        "title": "Title",
    }
    return deliver(GITHUB | {"x-github-event": "pull_request"}, action=action, number=3, pull_request=about | more)


def test_a_push_in_either_content_type() -> None:
    """JSON as the body, or as a form's field."""
    body = json.dumps({"repository": REPOSITORY, "ref": "refs/heads/main", "after": SHA}).encode()
    found = read(GITHUB, body)
    assert (found.forge, found.name, found.id) == ("github", "push", "d-1")
    assert (found.repository, found.repository_id) == ("team/app", "7")
    assert found.event is not None
    assert (found.event.kind, found.event.branch, found.event.commit) == (EventKind.PUSH, "main", SHA)
    form = GITHUB | {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    assert read(form, urlencode({"payload": body.decode()}).encode()) == found


def test_a_forge_that_looks_like_github_is_itself() -> None:
    """Gitea and Forgejo send GitHub's headers, too."""
    push = {"ref": "refs/heads/main", "after": SHA}
    assert (deliver(GITEA, **push).forge, deliver(GITEA, **push).id) == ("gitea", "d-2")
    forgejo = GITEA | {"x-forgejo-event": "push", "x-forgejo-delivery": "d-4"}
    assert (deliver(forgejo, **push).forge, deliver(forgejo, **push).id) == ("forgejo", "d-4")


def test_a_tag_is_built_once() -> None:
    """It is told twice, as pushed and as created."""
    pushed, created = {"ref": "refs/tags/v1", "after": SHA}, {"ref": "v1", "ref_type": "tag", "sha": SHA}
    for headers, commit in ((GITHUB, SHA), (GITEA, SHA)):
        made = [deliver(headers, **pushed)]
        name = "x-gitea-event" if headers is GITEA else "x-github-event"
        made.append(deliver(headers | {name: "create"}, **created))
        (event,) = [one.event for one in made if one.event is not None]
        assert (event.kind, event.tag, event.commit) == (EventKind.TAG, "v1", commit)


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        ("opened", EventKind.PULL_REQUEST),
        ("reopened", EventKind.PULL_REQUEST),
        ("synchronize", EventKind.PULL_REQUEST),
        ("closed", EventKind.PULL_REQUEST_CLOSED),
        ("labeled", EventKind.PULL_REQUEST_METADATA),
        ("review_requested", None),
        ("locked", None),
    ],
)
def test_what_happens_to_a_pull_request(action: str, kind: EventKind | None) -> None:
    """New states of its files are built; what only touches it is not."""
    found = pull_request(action)
    assert (found.event.kind if found.event else None) == kind
    if kind is None:
        assert "nothing is built when a pull request is" in found.reason


def test_a_fork_is_known_by_its_repository() -> None:
    """Also where it is gone by now; never by a name in a commit."""
    cases: tuple[tuple[Any, bool], ...] = (
        (REPOSITORY, False),
        (REPOSITORY | {"id": 8}, True),
        (REPOSITORY | {"id": 8, "full_name": "team/app"}, True),
        ({}, True),
    )
    for head, fork in cases:
        event = pull_request("opened", head=head).event
        assert event is not None
        assert event.fork is fork


def test_what_nothing_is_built_for() -> None:
    """It is understood and says why: a ping, a deletion, an event that means nothing to us."""
    ping = deliver(GITHUB | {"x-github-event": "ping"}, zen="Design for failure.")
    assert (ping.event, ping.name, ping.repository_id) == (None, "ping", "7")
    gone = deliver(GITHUB, ref="refs/heads/x", after=NULL_COMMIT)
    assert (gone.event, gone.reason) == (None, "refs/heads/x was deleted, and nothing is built for that")
    assert deliver(GITHUB | {"x-github-event": "star"}).reason == "nothing is built for the event star"
    draft = deliver(GITHUB | {"x-github-event": "release"}, action="created", release={"tag_name": "v1"})
    assert draft.event is None


def test_gitlab_pushes() -> None:
    """A branch with its head commit; a tag, also an annotated one."""
    commits = [
        {"id": SHA, "message": "Second\n", "url": "u", "author": {"name": "Ann", "email": "a@x"}, "added": ["a"],
         "modified": [], "removed": []},
    ]  # fmt: skip
    found = on_gitlab(
        object_kind="push", ref="refs/heads/main", after=SHA, checkout_sha=SHA, commits=commits, user_id=4,
        user_username="ann",
    )  # fmt: skip
    assert (found.forge, found.id, found.repository, found.repository_id) == ("gitlab", "d-3", "group/app", "9")
    event = found.event
    assert event is not None
    assert (event.branch, event.commit, event.message, event.author) == ("main", SHA, "Second", "Ann")
    assert (event.changed_files, event.sender, event.sender_id, event.private) == (("a",), "ann", "4", False)
    tag = on_gitlab(object_kind="tag_push", ref="refs/tags/v1", after="9" * 40, checkout_sha=SHA, message="One").event
    assert tag is not None
    assert (tag.kind, tag.tag, tag.commit, tag.message) == (EventKind.TAG, "v1", SHA, "One")
    assert on_gitlab(object_kind="push", ref="refs/heads/x", after=NULL_COMMIT).reason.startswith(
        "refs/heads/x was deleted"
    )


@pytest.mark.parametrize(
    ("attributes", "kind", "action"),
    [
        ({"action": "open"}, EventKind.PULL_REQUEST, "opened"),
        ({"action": "update", "oldrev": "1" * 40}, EventKind.PULL_REQUEST, "synchronized"),
        ({"action": "update"}, EventKind.PULL_REQUEST_METADATA, "edited"),
        ({"action": "merge"}, EventKind.PULL_REQUEST_CLOSED, "closed"),
        ({"action": "approved"}, None, ""),
    ],
)
def test_gitlab_merge_requests(attributes: dict[str, Any], kind: EventKind | None, action: str) -> None:
    """An update counts as new commits only where it has any."""
    about = {
        "iid": 5, "title": "T", "description": "D", "source_branch": "topic", "target_branch": "main",
        "source_project_id": 1, "target_project_id": 9, "last_commit": {"id": SHA},
    }  # fmt: skip
    event = on_gitlab(object_kind="merge_request", object_attributes=about | attributes, user={"id": 2}).event
    if kind is None:
        assert event is None
        return
    assert event is not None
    assert (event.kind, event.action, event.pull_request, event.fork) == (kind, action, 5, True)
    assert (event.branch, event.source_branch, event.commit, event.message) == ("main", "topic", SHA, "T\n\nD")
    assert (event.full_ref, event.sender_id) == ("refs/merge-requests/5/head", "2")


def test_gitlab_releases() -> None:
    """When they are made, not when they are changed."""
    release = {"object_kind": "release", "tag": "v1", "name": "One", "commit": {"id": SHA}}
    event = on_gitlab(action="create", **release).event
    assert event is not None
    assert (event.kind, event.tag, event.commit) == (EventKind.RELEASE, "v1", SHA)
    assert on_gitlab(action="update", **release).event is None
    assert on_gitlab(object_kind="pipeline").reason == "nothing is built for the event pipeline"


@pytest.mark.parametrize(
    ("headers", "body", "complaint"),
    [
        ({"content-type": "application/json"}, b"{}", "no header that names an event"),
        ({"x-github-event": "push", "content-type": "application/json"}, b"{}", "x-github-delivery"),
        (GITHUB | {"x-github-delivery": "x" * 200}, b"{}", "x-github-delivery"),
        (GITHUB | {"content-type": "text/plain"}, b"{}", "choose application/json"),
        (GITHUB, b"{", "no JSON"),
        (GITHUB, b"[" * 100_000, "no JSON"),
        (GITHUB, b" " * (26 << 20), "larger than 25 MiB"),
        (GITHUB | {"content-type": "application/x-www-form-urlencoded"}, b"other=1", "choose application/json"),
        (GITHUB | {"content-type": "application/x-www-form-urlencoded"}, b"\xff", "no form"),
        (GITHUB | {"content-type": "application/x-www-form-urlencoded"}, b"a=1&" * 20, "no form"),
    ],
)
def test_what_is_no_webhook(headers: dict[str, str], body: bytes, complaint: str) -> None:
    """One line that says what is wrong with it."""
    with pytest.raises(CiError, match=complaint) as caught:
        read(headers, body)
    assert caught.value.reference == "bad-payload"


KEYS = st.sampled_from(["ref", "after", "repository", "id", "full_name", "commits", "project", "object_kind"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS | st.text(), inner),
)


@given(JSON, st.sampled_from([GITHUB, GITEA, GITLAB, GITHUB | {"x-github-event": "pull_request"}]))
def test_any_json_is_answered(value: Any, headers: dict[str, str]) -> None:
    """By an event or a reason."""
    found = read(headers, json.dumps(value).encode())
    assert (found.event is None) == bool(found.reason)
