"""`when`: whether a step or a whole document takes part in a build.

The facts are the event's and the matrix cell's. The maps of a `when` are alternatives; in one map all filters must
hold. Two filters look at some events only, as in Woodpecker: `branch` is passed over for a tag (a tag is on no branch),
`path` for all but pushes and pull requests, and wherever the changed files are not known. `status` is not a fact but a
time: it says whether a step runs while all is well, after a failure, or both.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from ci.pipeline.event import EventKind
from ci.pipeline.glob import Glob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ci.pipeline.document import Condition, Filter
    from ci.pipeline.event import Event


class Status(StrEnum):
    """How the Stage stands when a step's turn comes, as `when.status` names it."""

    SUCCESS = "success"
    FAILURE = "failure"


def _path(event: Event) -> Sequence[str] | None:
    # No file changed (an empty commit, a new branch): the condition holds, as nothing speaks against it.
    looks = event.kind in {EventKind.PUSH, EventKind.PULL_REQUEST}
    return event.changed_files or None if looks else None


# The values of each fact; None: the filter does not apply to this event, and so it holds.
_VALUES: Mapping[str, Callable[[Event], Sequence[str] | None]] = {
    "event": lambda event: (event.kind,),
    "branch": lambda event: None if event.kind is EventKind.TAG else (event.branch,),
    "tag": lambda event: (event.tag if event.kind is EventKind.TAG else "",),
    "ref": lambda event: (event.full_ref,),
    "repo": lambda event: (event.repository,),
    "path": _path,
    "platform": lambda event: (event.platform,),
    "instance": lambda event: (event.instance,),
    "cron": lambda event: (event.cron,) if event.kind is EventKind.CRON else None,
}

# What a `when` may name, besides `matrix`.
FACTS = (*_VALUES, "status")

# The values that a fact can have at all, where these are few: written in full, no patterns.
WORDS: Mapping[str, tuple[str, ...]] = {"event": tuple(EventKind), "status": tuple(Status)}


@dataclass(frozen=True, slots=True)
class Outcome:
    """When to run: while all is well, after a failure, both, or, if neither, not at all."""

    on_success: bool
    on_failure: bool

    def __bool__(self) -> bool:
        return self.on_success or self.on_failure


def evaluate(when: Sequence[Condition], event: Event, cell: Mapping[str, str]) -> Outcome:
    """The outcome of a `when`; without one, a step runs while all is well."""
    if not when:
        return Outcome(on_success=True, on_failure=False)
    on_success = on_failure = False
    for condition in when:
        if not _holds(condition, event, cell):
            continue
        status = condition.filters.get("status")
        on_success |= status is None or matches(status, (Status.SUCCESS,))
        on_failure |= status is not None and matches(status, (Status.FAILURE,))
    return Outcome(on_success, on_failure)


def matches(patterns: Filter, values: Iterable[str]) -> bool:
    """Whether one of the values, at least, is included and not excluded. Raises GlobError."""
    include = [Glob(text.value) for text in patterns.include]
    exclude = [Glob(text.value) for text in patterns.exclude]
    return any(
        (not include or any(glob.matches(value) for glob in include))
        and not any(glob.matches(value) for glob in exclude)
        for value in values
    )


def _holds(condition: Condition, event: Event, cell: Mapping[str, str]) -> bool:
    """All filters of one map, `status` aside."""
    for fact, patterns in condition.filters.items():
        values = _VALUES[fact](event) if fact in _VALUES else None
        if values is not None and not matches(patterns, values):
            return False
    return all(matches(patterns, (cell.get(axis, ""),)) for axis, patterns in condition.matrix.items())
