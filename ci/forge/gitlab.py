"""What GitLab says of an event → Event. Pure. Shapes: GitLab's "Webhook events"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ci.forge.github import HEADS, TAGS, NotBuiltError, changed_files
from ci.pipeline.event import NULL_COMMIT, Event, EventKind

if TYPE_CHECKING:
    from ci.forge.body import Body

_PUBLIC = 20  # a project's visibility_level
# Its words for what happened to a merge request, and ours.
_ACTIONS = {"open": "opened", "reopen": "reopened", "update": "synchronized", "close": "closed", "merge": "closed"}


def read(payload: Body) -> Event:
    """The event of a body. Raises NotBuiltError."""
    kind = payload.text("object_kind")
    if kind in ("push", "tag_push"):
        return _push(payload)
    if kind == "merge_request":
        return _merge_request(payload)
    if kind == "release":
        return _release(payload)
    raise NotBuiltError(f"nothing is built for the event {kind or 'without a name'}")


def _push(payload: Body) -> Event:
    ref, after = payload.text("ref"), payload.text("after")
    if not ref.startswith((HEADS, TAGS)):
        raise NotBuiltError(f"{ref or 'what was pushed'} is neither a branch nor a tag")
    if after == NULL_COMMIT:
        raise NotBuiltError(f"{ref} was deleted, and nothing is built for that")
    tag = ref.removeprefix(TAGS) if ref.startswith(TAGS) else ""
    commit = payload.text("checkout_sha") or after  # of an annotated tag: what it is of
    head = next((one for one in payload.parts("commits") if one.text("id") == commit), None)
    return Event(
        kind=EventKind.TAG if tag else EventKind.PUSH,
        branch="" if tag else ref.removeprefix(HEADS),
        tag=tag,
        ref=ref,
        commit=commit or NULL_COMMIT,
        before=payload.text("before"),
        message=(head.text("message") if head else payload.text("message")).rstrip("\n"),
        committed=head.time("timestamp") if head else 0,
        author=head.text("author", "name") if head else payload.text("user_name"),
        author_email=head.text("author", "email") if head else payload.text("user_email"),
        author_login=payload.text("user_username"),
        author_avatar=payload.text("user_avatar"),
        link=head.text("url") if head else "",
        changed_files=changed_files(payload),
        sender=payload.text("user_username"),
        sender_id=str(payload.number("user_id") or ""),
        sender_avatar=payload.text("user_avatar"),
        **_project(payload),
    )


def _merge_request(payload: Body) -> Event:
    """An update without `oldrev` has no new commits."""
    about = "object_attributes"
    action = payload.text(about, "action")
    if action not in _ACTIONS:
        raise NotBuiltError(f"nothing is built when a merge request is {action or 'touched'}")
    kind = EventKind.PULL_REQUEST
    if action in ("close", "merge"):
        kind = EventKind.PULL_REQUEST_CLOSED
    elif action == "update" and not payload.text(about, "oldrev"):
        kind = EventKind.PULL_REQUEST_METADATA
    title, text = payload.text(about, "title"), payload.text(about, "description")
    number = payload.number(about, "iid")
    return Event(
        kind=kind,
        action="edited" if kind is EventKind.PULL_REQUEST_METADATA else _ACTIONS[action],
        branch=payload.text(about, "target_branch"),
        source_branch=payload.text(about, "source_branch"),
        ref=f"refs/merge-requests/{number}/head",
        commit=payload.text(about, "last_commit", "id") or NULL_COMMIT,
        message=f"{title}\n\n{text}".rstrip(),
        committed=payload.time(about, "last_commit", "timestamp"),
        author=payload.text(about, "last_commit", "author", "name"),
        author_email=payload.text(about, "last_commit", "author", "email"),
        author_login=payload.text("user", "username"),
        author_avatar=payload.text("user", "avatar_url"),
        link=payload.text(about, "url"),
        pull_request=number,
        pull_request_title=title,
        labels=tuple(name for label in payload.parts("labels") if (name := label.text("title"))),
        draft=payload.at(about, "draft") is True or payload.at(about, "work_in_progress") is True,
        fork=payload.number(about, "source_project_id") != payload.number(about, "target_project_id"),
        sender=payload.text("user", "username"),
        sender_id=str(payload.number("user", "id") or ""),
        sender_avatar=payload.text("user", "avatar_url"),
        **_project(payload),
    )


def _release(payload: Body) -> Event:
    if payload.text("action") != "create":
        raise NotBuiltError(f"nothing is built for the release's {payload.text('action') or 'change'}")
    tag = payload.text("tag")
    return Event(
        kind=EventKind.RELEASE,
        tag=tag,
        ref=f"{TAGS}{tag}",
        commit=payload.text("commit", "id") or NULL_COMMIT,
        message=payload.text("name"),
        committed=payload.time("commit", "timestamp"),
        release_title=payload.text("name"),
        author=payload.text("commit", "author", "name"),
        author_email=payload.text("commit", "author", "email"),
        link=payload.text("url"),
        **_project(payload),
    )


def _project(payload: Body) -> dict[str, Any]:
    """What every body says of its project."""
    return {
        "repository": payload.text("project", "path_with_namespace"),
        "repository_id": str(payload.number("project", "id") or ""),
        "remote_url": payload.text("project", "git_http_url"),
        "ssh_url": payload.text("project", "git_ssh_url"),
        "default_branch": payload.text("project", "default_branch"),
        "private": payload.number("project", "visibility_level") != _PUBLIC,
    }
