"""What a plain git server tells of a push → Event: the lines of its post-receive hook, as `ci-run push` sends them.

A body is JSON: `repository`, `ref`, `before`, `after` and `user`. Everything else is in the repository. Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ci.errors import CiError
from ci.forge.body import parse
from ci.forge.delivery import Delivery
from ci.forge.github import HEADS, TAGS
from ci.pipeline.event import NULL_COMMIT, Event, EventKind

if TYPE_CHECKING:
    from collections.abc import Mapping

DELIVERY = "x-hako-delivery"
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_ID = re.compile(r"[A-Za-z0-9-]{8,64}")


def read(headers: Mapping[str, str], body: bytes) -> Delivery:
    """Read a request, which is signed; `headers` have lower-case names. Raises CiError (bad-payload)."""
    payload = parse(body, "the push")
    identifier = headers.get(DELIVERY, "")
    if not _ID.fullmatch(identifier):
        raise CiError(f"the push has no usable {DELIVERY} header", reference="bad-payload")
    ref, after = payload.text("ref"), payload.text("after")
    event, reason = None, ""
    if not ref.startswith((HEADS, TAGS)):
        reason = f"{ref or 'what was pushed'} is neither a branch nor a tag"
    elif not _COMMIT.fullmatch(after):
        raise CiError("the push names no commit", reference="bad-payload")
    elif not after.strip("0"):
        reason = f"{ref} was deleted, and nothing is built for that"
    else:
        tag = ref.removeprefix(TAGS) if ref.startswith(TAGS) else ""
        event = Event(
            kind=EventKind.TAG if tag else EventKind.PUSH,
            branch="" if tag else ref.removeprefix(HEADS),
            tag=tag,
            ref=ref,
            commit=NULL_COMMIT if tag else after,  # an annotated tag's own object is no commit
            before=payload.text("before"),
            sender=payload.text("user"),
        )
    return Delivery(
        forge="git",
        name="push",
        id=identifier,
        repository=payload.text("repository"),
        repository_id="",
        event=event,
        reason=reason,
    )
