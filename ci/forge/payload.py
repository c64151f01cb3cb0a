"""A webhook's body that somebody has saved → Event: `ci-run local --payload FILE` plays it.

The kind of the event is in an HTTP header that a saved body does not have, so it is told by the keys that only that
kind has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.errors import CiError
from ci.forge import github, gitlab
from ci.forge.body import parse
from ci.forge.github import NotBuiltError

if TYPE_CHECKING:
    from ci.forge.body import Body
    from ci.pipeline.event import Event


def read(body: bytes, filename: str) -> Event:
    """The event of a body; `filename` is for messages. What it does not say has the defaults of `Event`.

    Raises CiError for what is no body of a push, tag, pull request, release or deployment, and for one that nothing is
    built for.
    """
    payload = parse(body, filename)
    try:
        event = _event(payload)
    except NotBuiltError as error:
        raise CiError(f"{filename}: {error.message}", reference="bad-payload") from None
    if event is None:
        raise CiError(
            f"{filename}: not the body of a push, tag, pull request, release or deployment",
            hint="save what GitHub, Gitea or GitLab shows under the webhook's recent deliveries",
            reference="bad-payload",
        )
    return event


def _event(payload: Body) -> Event | None:
    """GitHub's and Gitea's bodies are told by the keys that only one kind has; GitLab's name it."""
    if payload.text("object_kind"):
        return gitlab.read(payload)
    for key, reader in github.READERS.items():
        if payload.has(key):
            return reader(payload)
    if payload.text("ref_type") and payload.text("ref"):
        return github.created(payload)
    return github.push(payload) if payload.text("ref") and payload.text("after") else None
