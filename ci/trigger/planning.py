"""Compiled Stages → what the store keeps of them: names become numbers, every container a step. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.pipeline.wire import to_document
from ci.store.records import Stage, Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ci.pipeline.spec import StageSpec


def stages(compiled: Sequence[StageSpec]) -> tuple[Stage, ...]:
    """In their order. A Stage depends on every cell of a document that its own depends on."""
    numbers: dict[str, list[int]] = {}
    for spec in compiled:
        numbers.setdefault(spec.name, []).append(spec.number)
    return tuple(
        Stage(
            number=spec.number,
            name=spec.name,
            matrix=spec.matrix,
            labels=spec.labels,
            depends_on=tuple(number for name in spec.depends_on for number in numbers.get(name, ())),
            spec=to_document(spec),
            concurrency=spec.concurrency or 0,
            runs_on=_runs_on(spec),
            expands=bool(spec.cells_from),
            steps=tuple(_steps(spec)),
        )
        for spec in compiled
    )


def _runs_on(spec: StageSpec) -> str:
    if spec.run_on_failure:
        return "always" if spec.run_on_success else "failure"
    return "success"


def _steps(spec: StageSpec) -> Iterator[Step]:
    """The clone, the services, the steps: as they begin."""
    named = [("clone", "clone")] if spec.clone.by_runner else []
    named += [(name, "clone") for name in spec.clone.steps]
    named += [(service.name, "service") for service in spec.services]
    named += [(step.name, "step") for step in spec.steps if step.name not in spec.clone.steps]
    for number, (name, kind) in enumerate(named, 1):
        yield Step(number=number, name=name, kind=kind)
