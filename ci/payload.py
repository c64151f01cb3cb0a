"""What a forge says of an event → Event: the bodies of webhooks, which GitHub and Gitea (and Forgejo) write alike.

Pure. Called by `ci-run local --payload FILE`, which plays an event from its body alone: the kind of the event is in an
HTTP header that a saved body does not have, so it is told by the keys that only that kind has. Shapes: GitHub's
"Webhook events and payloads", Gitea's `modules/structs/hook.go`.

Everything in a body is a stranger's. What has another type than it should counts as not being there.
"""

from __future__ import annotations

import json
from typing import Any

from ci.errors import CiError
from ci.pipeline.event import NULL_COMMIT, Event, EventKind

LIMIT = 25 << 20  # bytes; GitHub sends no more

_HEADS, _TAGS = "refs/heads/", "refs/tags/"
# What happened to a pull request, where it is no new state of its files; the words are GitHub's and Gitea's.
_KINDS = {
    "closed": EventKind.PULL_REQUEST_CLOSED,
    **dict.fromkeys(
        ("edited", "labeled", "unlabeled", "label_updated", "label_cleared", "milestoned", "demilestoned", "assigned"),
        EventKind.PULL_REQUEST_METADATA,
    ),
}


def read(body: bytes, filename: str) -> Event:
    """The event of a body; `filename` is for messages. What it does not say has the defaults of `Event`.

    Raises CiError for what is no body of a push, tag, pull request, release or deployment, and for one that nothing is
    built for.
    """
    if len(body) > LIMIT:
        raise CiError(f"{filename}: larger than {LIMIT >> 20} MiB", reference="bad-payload")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise CiError(f"{filename}: no JSON: {error}", reference="bad-payload") from None
    payload = _Body(found)
    if payload.has("pull_request"):
        return _pull_request(payload)
    if payload.has("release"):
        return _release(payload)
    if payload.has("deployment"):
        return _deployment(payload)
    if payload.text("ref_type") and payload.text("ref"):
        return _created(payload, filename)
    if payload.text("ref") and payload.text("after"):
        return _push(payload, filename)
    raise CiError(
        f"{filename}: not the body of a push, tag, pull request, release or deployment",
        hint="save what GitHub or Gitea shows under the webhook's recent deliveries",
        reference="bad-payload",
    )


class _Body:
    """A JSON value, asked by path."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def at(self, *path: str) -> Any:
        value = self._value
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def has(self, *path: str) -> bool:
        return isinstance(self.at(*path), dict)

    def text(self, *path: str) -> str:
        """A string, without what UTF-8 cannot hold (half a surrogate pair)."""
        value = self.at(*path)
        return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""

    def number(self, *path: str) -> int:
        value = self.at(*path)
        return value if isinstance(value, int) and value > 0 else 0

    def parts(self, *path: str) -> list[_Body]:
        value = self.at(*path)
        return [_Body(item) for item in value] if isinstance(value, list) else []

    def repository(self) -> dict[str, Any]:
        """What every body says of its repository."""
        return {
            "repository": self.text("repository", "full_name"),
            "remote_url": self.text("repository", "clone_url"),
            "ssh_url": self.text("repository", "ssh_url"),
            "default_branch": self.text("repository", "default_branch"),
            "private": self.at("repository", "private") is True,
            "sender": self.text("sender", "login"),
            "sender_avatar": self.text("sender", "avatar_url"),
            "repository_id": str(self.number("repository", "id") or ""),
        }


def _push(payload: _Body, filename: str) -> Event:
    """A push of a branch or tag. GitHub leaves `commits` empty for a tag, and after the first 2048."""
    ref = payload.text("ref")
    if payload.text("after") == NULL_COMMIT or payload.at("deleted") is True:
        raise CiError(f"{filename}: {ref} was deleted, and nothing is built for that", reference="bad-payload")
    head = "head_commit"
    if not payload.has(head):
        return _at(payload, ref, payload.text("after"))
    return _at(
        payload,
        ref,
        payload.text("after"),
        message=payload.text(head, "message").rstrip("\n"),
        author=payload.text(head, "author", "name"),
        author_login=payload.text(head, "author", "username"),
        author_email=payload.text(head, "author", "email"),
        before=payload.text("before"),
        link=payload.text(head, "url"),
        changed_files=_changed(payload),
    )


def _created(payload: _Body, filename: str) -> Event:
    """The event "create" of a tag; its `ref` is the short name, and the commit is not in it (Gitea: `sha`)."""
    if payload.text("ref_type") != "tag":
        raise CiError(f"{filename}: a branch was created; its push is what is built", reference="bad-payload")
    return _at(payload, _TAGS + payload.text("ref").removeprefix(_TAGS), payload.text("sha"))


def _at(payload: _Body, ref: str, commit: str, **known: Any) -> Event:
    kind = EventKind.TAG if ref.startswith(_TAGS) else EventKind.PUSH
    return Event(
        kind=kind,
        branch=ref.removeprefix(_HEADS) if kind is EventKind.PUSH else "",
        tag=ref.removeprefix(_TAGS) if kind is EventKind.TAG else "",
        ref=ref,
        commit=commit or NULL_COMMIT,
        **payload.repository(),
        **({"author": payload.text("sender", "login")} | known),
    )


def _pull_request(payload: _Body) -> Event:
    """The head's repository is null where a fork is gone; nothing here needs it."""
    title, text = payload.text("pull_request", "title"), payload.text("pull_request", "body")
    action = payload.text("action")
    kind = _KINDS.get(action, EventKind.PULL_REQUEST)
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
        milestone=payload.text("pull_request", "milestone", "title"),
        pull_request=payload.number("number") or payload.number("pull_request", "number"),
        **payload.repository(),
    )


def _release(payload: _Body) -> Event:
    """Its commit is that of the tag, which a body does not say."""
    tag = payload.text("release", "tag_name")
    return Event(
        kind=EventKind.RELEASE,
        branch=payload.text("release", "target_commitish"),
        tag=tag,
        ref=f"{_TAGS}{tag}" if tag else "",
        message=payload.text("release", "name"),
        link=payload.text("release", "html_url"),
        release_title=payload.text("release", "name"),
        prerelease=payload.at("release", "prerelease") is True,
        author=payload.text("release", "author", "login"),
        author_email=payload.text("release", "author", "email"),
        **payload.repository(),
    )


def _deployment(payload: _Body) -> Event:
    """GitHub's; `ref` is a branch, a tag or a commit, and which it is is not said."""
    ref, commit = payload.text("deployment", "ref"), payload.text("deployment", "sha")
    return Event(
        kind=EventKind.DEPLOYMENT,
        branch="" if ref == commit else ref.removeprefix(_HEADS),
        ref=ref if ref.startswith("refs/") else "",
        commit=commit or NULL_COMMIT,
        message=payload.text("deployment", "description"),
        author=payload.text("deployment", "creator", "login"),
        deploy_target=payload.text("deployment", "environment"),
        deploy_task=payload.text("deployment", "task"),
        **payload.repository(),
    )


def _changed(payload: _Body) -> tuple[str, ...] | None:
    """The files of all commits; None where a commit does not list them."""
    changed: set[str] = set()
    for commit in payload.parts("commits"):
        for key in ("added", "removed", "modified"):
            names = commit.at(key)
            if not isinstance(names, list):
                return None
            changed.update(name for name in names if isinstance(name, str))
    return tuple(sorted(changed)) or None
