"""Which Stages of a build begin when others have ended, and which will not run: a pure decision.

`ci-run local` asks for the Stages of a run, the server for those of a build in its tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


class Waiting(NamedTuple):
    """A Stage that has not begun. `needs` are the numbers and names of those it depends on."""

    number: int
    needs: Mapping[int, str]
    run_on_success: bool
    run_on_failure: bool


class Following(NamedTuple):
    """Numbers of Stages: those that may begin, and those that are skipped, with the reason."""

    start: tuple[int, ...]
    skip: tuple[tuple[int, str], ...]


def follow(waiting: Iterable[Waiting], ended: Collection[int], failed: Collection[int]) -> Following:
    """`ended` are the numbers of Stages that are over, `failed` those of them that did not go well.

    A Stage whose dependency failed is skipped unless its `when.status` asks for failures; one whose dependency was
    skipped runs as if that one had passed.
    """
    start: list[int] = []
    skip: list[tuple[int, str]] = []
    for stage in waiting:
        if any(number not in ended for number in stage.needs):
            continue
        culprit = next((name for number, name in stage.needs.items() if number in failed), "")
        if culprit and not stage.run_on_failure:
            skip.append((stage.number, f"{culprit} failed"))
        elif not culprit and not stage.run_on_success:
            skip.append((stage.number, "nothing failed"))
        else:
            start.append(stage.number)
    return Following(tuple(start), tuple(skip))
