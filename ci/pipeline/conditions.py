"""`when`: whether a step or a whole document takes part in a build.

The facts are the event's and the matrix cell's; which there are is the dialect's (`rules`). The maps of a `when` are
alternatives; in one map all filters must hold. Two filters look at some events only, as in Woodpecker: `branch` is
passed over for a tag (a tag is on no branch), `path` for all but pushes and pull requests, and wherever the changed
files are not known. `status` is not a fact but a time: it says whether a step runs while all is well, after a failure,
or both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from ci.pipeline.event import EventKind
from ci.pipeline.glob import Glob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ci.pipeline.document import Condition, Filter
    from ci.pipeline.event import Event
    from ci.pipeline.source import Text


class Status(StrEnum):
    """How the Stage stands when a step's turn comes, as `when.status` names it."""

    SUCCESS = "success"
    FAILURE = "failure"


# The values of each fact; None: the filter does not apply to this event, and so it holds.
Values = Mapping[str, "Callable[[Event], Sequence[str] | None]"]
VALUES: Values = {
    "event": lambda event: (event.kind,),
    "branch": lambda event: None if event.kind.of_tag else (event.branch,),
    "tag": lambda event: (event.tag if event.kind.of_tag else "",),
    "ref": lambda event: (event.full_ref,),
    "repo": lambda event: (event.repository,),
    "path": lambda event: event.changed_files,
    "platform": lambda event: (event.platform,),
    "instance": lambda event: (event.instance,),
    "cron": lambda event: (event.cron,) if event.kind is EventKind.CRON else None,
    "target": lambda event: (event.deploy_target,),
    "action": lambda event: (event.action,),
}

# What a `when` may name, besides `matrix` and `evaluate`.
FACTS = (*VALUES, "status")

# The values that a fact can have at all, where these are few: written in full, no patterns.
WORDS: Mapping[str, tuple[str, ...]] = {"event": tuple(EventKind), "status": tuple(Status)}


@dataclass(frozen=True, slots=True)
class Outcome:
    """When to run: while all is well, after a failure, both, or, if neither, not at all."""

    on_success: bool
    on_failure: bool

    def __bool__(self) -> bool:
        return self.on_success or self.on_failure


def evaluate(
    when: Sequence[Condition],
    event: Event,
    cell: Mapping[str, str],
    *,
    values: Values = VALUES,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Outcome:
    """The outcome of a `when`; without one, a step runs while all is well.

    `values` are the dialect's facts, `variables` what an `evaluate` may name. Raises GlobError, ExpressionError.
    """
    if not when:
        return Outcome(on_success=True, on_failure=False)
    on_success = on_failure = False
    for condition in when:
        if not _holds(condition, event, cell, values) or not _evaluates(condition, variables):
            continue
        status = condition.filters.get("status")
        fails = status is not None and matches(status, (Status.FAILURE,))
        # A status that nothing ever has (drone knows more of them) is as none.
        on_success |= not fails or (status is not None and matches(status, (Status.SUCCESS,)))
        on_failure |= fails
    return Outcome(on_success, on_failure)


def matches(patterns: Filter, values: Iterable[str]) -> bool:
    """Whether one of the values, at least, is included and not excluded. Raises GlobError."""
    include, exclude = _globs(patterns.include), _globs(patterns.exclude)
    return any(
        (not include or any(glob.matches(value) for glob in include))
        and not any(glob.matches(value) for glob in exclude)
        for value in values
    )


def _holds(condition: Condition, event: Event, cell: Mapping[str, str], values: Values) -> bool:
    """All filters of one map, `status` and `evaluate` aside."""
    for fact, patterns in condition.filters.items():
        if fact == "path":
            looks = event.kind is EventKind.PUSH or event.kind.of_pull_request
            if looks and not _path_holds(patterns, event):
                return False
            continue
        found = values[fact](event) if fact in values else None
        if found is not None and not matches(patterns, found):
            return False
    return all(matches(patterns, (cell.get(axis, ""),)) for axis, patterns in condition.matrix.items())


def _path_holds(patterns: Filter, event: Event) -> bool:
    """One changed file, at least, is included, and not all of them are excluded; as in Woodpecker."""
    if patterns.ignore_message and patterns.ignore_message.value.lower() in event.message.lower():
        return True
    files = event.changed_files
    if not files:  # not known; or an empty commit, a new branch: nothing speaks against it
        return patterns.on_empty or files is None
    include, exclude = _globs(patterns.include), _globs(patterns.exclude)
    if include and not any(glob.matches(file) for file in files for glob in include):
        return False
    return not exclude or not all(any(glob.matches(file) for glob in exclude) for file in files)


def _globs(patterns: Iterable[Text]) -> list[Glob]:
    return [Glob(text.value) for text in patterns]


def _evaluates(condition: Condition, variables: Mapping[str, str]) -> bool:
    if condition.evaluate is None:
        return True
    from ci.pipeline.expression import evaluate as calculate  # noqa: PLC0415  (few files have one)

    return calculate(condition.evaluate.value, variables)
