"""What a repository's settings say of an event: whether it is built, whether somebody has to approve it first. Pure.

Approval is a question of who has sent the event, by the id that the forge gives him. What a commit says of its author
is anybody's to write.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ci.errors import CiError
from ci.pipeline.event import EventKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci.pipeline.event import Event

_SKIP = re.compile(r"\[(?:ci *skip|skip *ci)\]", re.IGNORECASE)
_SKIPPABLE = (EventKind.PUSH, EventKind.PULL_REQUEST, EventKind.PULL_REQUEST_METADATA)


class Approval(StrEnum):
    """Which pull requests wait for an approval."""

    NONE = "none"
    FORKS = "forks"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A repository's. `trusted_senders` are the forge's ids of people whose pull requests need no approval."""

    approval: Approval = Approval.FORKS
    trusted_senders: frozenset[str] = frozenset()
    cancel_superseded: bool = True
    events: frozenset[EventKind] = frozenset(EventKind) - {EventKind.PULL_REQUEST_METADATA}
    configuration: str = ""  # the pipeline's name, where it is none of the usual ones
    priority: int = 0
    concurrency: int = 0  # Stages of the repository that run at once; 0: any number
    timeout: float = 3600.0  # seconds that a Stage may take, unless its pipeline says less


def settings(document: Mapping[str, Any]) -> Settings:
    """Of the JSON that is stored. Raises CiError for a value that is none."""
    known: dict[str, Any] = {}
    try:
        for name, read in (
            ("approval", Approval),
            ("trusted_senders", frozenset),
            ("cancel_superseded", bool),
            ("events", lambda kinds: frozenset(EventKind(kind) for kind in kinds)),
            ("configuration", str),
            ("priority", int),
            ("concurrency", int),
            ("timeout", float),
        ):
            if name in document:
                known[name] = read(document[name])
    except (TypeError, ValueError) as error:
        raise CiError(f"the repository's settings: {error}", reference="bad-settings") from None
    return Settings(**known)


def why_not(event: Event, chosen: Settings) -> str:
    """Why nothing is built for an event; empty where something is."""
    if event.kind not in chosen.events:
        return f"the repository does not build the event {event.kind}"
    if event.kind in _SKIPPABLE and (found := _SKIP.search(event.message)):
        return f"the message says {found.group()}"
    return ""


def needs_approval(event: Event, chosen: Settings) -> bool:
    """Whether somebody with the right to has to let it run; also what comes of a pull request, say its deployment."""
    proposed = event.kind.of_pull_request or event.pull_request > 0 or event.fork
    if not proposed or (event.sender_id and event.sender_id in chosen.trusted_senders):
        return False
    return chosen.approval is Approval.ALL or (chosen.approval is Approval.FORKS and event.fork)
