"""What GitHub says of an event → Event: the bodies of its webhooks, and of Gitea's and Forgejo's, which are alike.

Pure. Shapes: GitHub's "Webhook events and payloads", Gitea's `modules/structs/hook.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ci.errors import CiError
from ci.pipeline.event import NULL_COMMIT, Event, EventKind

if TYPE_CHECKING:
    from ci.forge.body import Body

HEADS, TAGS = "refs/heads/", "refs/tags/"
# What happened to a pull request, where it is no new state of its files; the words are GitHub's and Gitea's.
_KINDS = {
    "closed": EventKind.PULL_REQUEST_CLOSED,
    **dict.fromkeys(
        ("edited", "labeled", "unlabeled", "label_updated", "label_cleared", "milestoned", "demilestoned", "assigned"),
        EventKind.PULL_REQUEST_METADATA,
    ),
    **dict.fromkeys(
        ("opened", "reopened", "synchronize", "synchronized", "ready_for_review"),
        EventKind.PULL_REQUEST,
    ),
}


class NotBuiltError(CiError):
    """A body that was understood, of what nothing is built for."""

    reference = "not-built"


def read(name: str, payload: Body, *, gitea: bool) -> Event:
    """The event of a body whose header names it. Raises NotBuiltError.

    A tag is told twice, as pushed and as created: GitHub's push says its commit, and Gitea's "create" does.
    """
    if name == "push":
        if gitea and payload.text("ref").startswith(TAGS):
            raise NotBuiltError("a tag is built when it is created")
        return push(payload)
    if name == "create":
        if not gitea:
            raise NotBuiltError("a tag is built when it is pushed")
        return created(payload)
    reader = READERS.get(name)
    if reader is None:
        raise NotBuiltError(f"nothing is built for the event {name or 'without a name'}")
    return reader(payload)


def push(payload: Body) -> Event:
    """A push of a branch or tag. GitHub leaves `commits` empty for a tag, and after the first 2048."""
    ref = payload.text("ref")
    if not ref.startswith((HEADS, TAGS)):
        raise NotBuiltError(f"{ref or 'what was pushed'} is neither a branch nor a tag")
    if payload.text("after") == NULL_COMMIT or payload.at("deleted") is True:
        raise NotBuiltError(f"{ref} was deleted, and nothing is built for that")
    head = "head_commit"
    if not payload.has(head):
        return _at(payload, ref, payload.text("after"))
    return _at(
        payload,
        ref,
        payload.text("after"),
        message=payload.text(head, "message").rstrip("\n"),
        committed=payload.time(head, "timestamp"),
        author=payload.text(head, "author", "name"),
        author_login=payload.text(head, "author", "username"),
        author_email=payload.text(head, "author", "email"),
        before=payload.text("before"),
        link=payload.text(head, "url"),
        changed_files=changed_files(payload),
    )


def created(payload: Body) -> Event:
    """The event "create" of a tag; its `ref` is the short name, and the commit is not in it (Gitea: `sha`)."""
    if payload.text("ref_type") != "tag":
        raise NotBuiltError("a branch was created; its push is what is built")
    return _at(payload, TAGS + payload.text("ref").removeprefix(TAGS), payload.text("sha"))


def _at(payload: Body, ref: str, commit: str, **known: Any) -> Event:
    kind = EventKind.TAG if ref.startswith(TAGS) else EventKind.PUSH
    return Event(
        kind=kind,
        branch=ref.removeprefix(HEADS) if kind is EventKind.PUSH else "",
        tag=ref.removeprefix(TAGS) if kind is EventKind.TAG else "",
        ref=ref,
        commit=commit or NULL_COMMIT,
        **_repository(payload),
        **({"author": payload.text("sender", "login")} | known),
    )


def pull_request(payload: Body) -> Event:
    """Its head's repository is null where a fork is gone."""
    title, text = payload.text("pull_request", "title"), payload.text("pull_request", "body")
    action = payload.text("action")
    kind = _KINDS.get(action)
    if kind is None:
        raise NotBuiltError(f"nothing is built when a pull request is {action or 'touched'}")
    return Event(
        kind=kind,
        action={"synchronize": "synchronized"}.get(action, action),  # GitHub's word; Gitea's is the other
        branch=payload.text("pull_request", "base", "ref"),
        source_branch=payload.text("pull_request", "head", "ref"),
        commit=payload.text("pull_request", "head", "sha") or NULL_COMMIT,
        message=f"{title}\n\n{text}".rstrip(),
        author=payload.text("pull_request", "user", "login"),
        author_login=payload.text("pull_request", "user", "login"),
        author_email=payload.text("pull_request", "user", "email"),
        author_avatar=payload.text("pull_request", "user", "avatar_url"),
        link=payload.text("pull_request", "html_url"),
        pull_request_title=title,
        labels=tuple(name for label in payload.parts("pull_request", "labels") if (name := label.text("name"))),
        draft=payload.at("pull_request", "draft") is True,
        fork=payload.at("pull_request", "head", "repo", "id") != payload.at("pull_request", "base", "repo", "id"),
        milestone=payload.text("pull_request", "milestone", "title"),
        pull_request=payload.number("number") or payload.number("pull_request", "number"),
        **_repository(payload),
    )


def release(payload: Body) -> Event:
    """Its commit is that of the tag, which a body does not say."""
    if payload.text("action") != "published":
        raise NotBuiltError(f"nothing is built when a release is {payload.text('action') or 'touched'}")
    tag = payload.text("release", "tag_name")
    return Event(
        kind=EventKind.RELEASE,
        branch=payload.text("release", "target_commitish"),
        tag=tag,
        ref=f"{TAGS}{tag}" if tag else "",
        message=payload.text("release", "name"),
        link=payload.text("release", "html_url"),
        release_title=payload.text("release", "name"),
        prerelease=payload.at("release", "prerelease") is True,
        author=payload.text("release", "author", "login"),
        author_email=payload.text("release", "author", "email"),
        **_repository(payload),
    )


def deployment(payload: Body) -> Event:
    """GitHub's; `ref` is a branch, a tag or a commit, and which it is is not said."""
    ref, commit = payload.text("deployment", "ref"), payload.text("deployment", "sha")
    return Event(
        kind=EventKind.DEPLOYMENT,
        branch="" if ref == commit else ref.removeprefix(HEADS),
        ref=ref if ref.startswith("refs/") else "",
        commit=commit or NULL_COMMIT,
        message=payload.text("deployment", "description"),
        author=payload.text("deployment", "creator", "login"),
        deploy_target=payload.text("deployment", "environment"),
        deploy_task=payload.text("deployment", "task"),
        **_repository(payload),
    )


def changed_files(payload: Body) -> tuple[str, ...] | None:
    """The files of all commits; None where a commit does not list them."""
    changed: set[str] = set()
    for commit in payload.parts("commits"):
        for key in ("added", "removed", "modified"):
            names = commit.at(key)
            if not isinstance(names, list):
                return None
            changed.update(name for name in names if isinstance(name, str))
    return tuple(sorted(changed)) or None


def _repository(payload: Body) -> dict[str, Any]:
    """What every body says of its repository."""
    return {
        "repository": payload.text("repository", "full_name"),
        "remote_url": payload.text("repository", "clone_url"),
        "ssh_url": payload.text("repository", "ssh_url"),
        "default_branch": payload.text("repository", "default_branch"),
        "private": payload.at("repository", "private") is True,
        "sender": payload.text("sender", "login"),
        "sender_id": str(payload.number("sender", "id") or ""),
        "sender_avatar": payload.text("sender", "avatar_url"),
        "repository_id": str(payload.number("repository", "id") or ""),
    }


# By the event's name, which is the key of what it is about, too.
READERS = {"pull_request": pull_request, "release": release, "deployment": deployment}
