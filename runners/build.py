"""Runs the Stages of a build: as many at once as allowed, each when the ones it depends on are over.

`next_stages` is the decision, `Build` the thin edge. `depends_on` names Stages by their document: a Stage waits
for all matrix cells of it. Called by `ci-run local`; on a server each Stage is a job of its own, and
`ci.dispatch` does this part.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ci.errors import CiError
from ci.pipeline.following import Waiting, follow
from ci.pipeline.outputs import OutputError
from runners.backend import BackendError
from runners.report import StageResult
from runners.schedule import State
from runners.stage import StageRun

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ci.pipeline.outputs import Reference
    from ci.pipeline.spec import StageSpec
    from runners.backend import Backend
    from runners.loop import Loop
    from runners.report import Reporter
    from runners.stage import StageInput

    Expand = Callable[[StageSpec, Mapping[Reference, str], int], tuple[StageSpec, ...]]

_BAD = frozenset({State.FAILED, State.ERROR, State.CANCELLED})


def next_stages(
    stages: Sequence[StageSpec], results: Mapping[int, State], running: frozenset[int], *, jobs: int, cancelled: str
) -> tuple[tuple[StageSpec, ...], tuple[tuple[StageSpec, str], ...]]:
    """Which Stages start now, and which are skipped, with the reason; see `following`."""
    waiting = [stage for stage in stages if stage.number not in results and stage.number not in running]
    if cancelled:
        return (), tuple((stage, cancelled) for stage in waiting)
    found = follow(
        [
            Waiting(
                number=stage.number,
                needs={other.number: other.name for other in _needed(stage, stages)},
                run_on_success=stage.run_on_success,
                run_on_failure=stage.run_on_failure,
            )
            for stage in waiting
        ],
        results,
        {number for number, state in results.items() if state in _BAD},
    )
    known = {stage.number: stage for stage in waiting}
    start: list[StageSpec] = []
    for stage in (known[number] for number in found.start):
        if len(running) + len(start) < jobs and not _is_crowded(stage, stages, running, start):
            start.append(stage)
    return tuple(start), tuple((known[number], reason) for number, reason in found.skip)


def _is_crowded(
    stage: StageSpec, stages: Sequence[StageSpec], running: frozenset[int], start: Sequence[StageSpec]
) -> bool:
    """Whether as many of the same name run as its `concurrency` allows."""
    if stage.concurrency is None:
        return False
    others = [other for other in stages if other.number in running and other.name == stage.name]
    return len(others) + sum(other.name == stage.name for other in start) >= max(1, stage.concurrency)


def _needed(stage: StageSpec, stages: Sequence[StageSpec]) -> list[StageSpec]:
    if not stage.depends_on:
        return []
    return [other for other in stages if other.name in stage.depends_on and other.number != stage.number]


class Build:
    """All Stages of one build on one loop. `inputs` gives what a Stage needs beside its spec.

    `expand` makes the Stages of one whose matrix is made of outputs (`ci.pipeline.open_matrix`), given those outputs
    and the number of the first; it may raise OutputError, CiError, BackendError.
    """

    def __init__(
        self,
        stages: Sequence[StageSpec],
        inputs: Callable[[StageSpec], StageInput],
        *,
        loop: Loop,
        backend: Backend,
        reporter: Reporter,
        jobs: int,
        expand: Expand | None = None,
    ) -> None:
        self._expand = expand
        self._stages = tuple(stages)
        self._inputs = inputs
        self._loop = loop
        self._backend = backend
        self._reporter = reporter
        self._jobs = max(1, jobs)
        self._running: dict[int, StageRun] = {}
        self._results: dict[int, StageResult] = {}
        self._cancelled = ""
        self._advancing = False

    @property
    def over(self) -> bool:
        """Whether every Stage has a result."""
        return len(self._results) == len(self._stages)

    @property
    def results(self) -> tuple[StageResult, ...]:
        """The results so far, in the order of the Stages."""
        return tuple(self._results[stage.number] for stage in self._stages if stage.number in self._results)

    def run(self) -> tuple[StageResult, ...]:
        """Run everything to its end on the loop."""
        self._advance()
        self._loop.run(until=lambda: self.over)
        return self.results

    def cancel(self, reason: str, *, gently: bool = False) -> None:
        """End what runs, start nothing more; see `StageRun.cancel`. For use from the loop's callbacks."""
        self._cancelled = self._cancelled or reason
        for run in tuple(self._running.values()):
            run.cancel(reason, interrupted=True, gently=gently)
        self._advance()

    def abandon(self) -> None:
        """Remove what the running Stages have, without results: for an error that nobody foresaw."""
        for run in self._running.values():
            run.abandon()

    def _advance(self) -> None:
        if self._advancing:  # a Stage that ends while it starts: the outer call goes on
            return
        self._advancing = True
        try:
            while True:
                states = {number: result.state for number, result in self._results.items()}
                start, skip = next_stages(
                    self._stages, states, frozenset(self._running), jobs=self._jobs, cancelled=self._cancelled
                )
                for stage, reason in skip:
                    state = State.CANCELLED if self._cancelled else State.SKIPPED
                    self._conclude(StageResult(stage=stage, state=state, reason=reason))
                for stage in start:
                    if stage.cells_from:
                        self._replace(stage)
                    else:
                        self._start(stage)
                if not start and not skip:
                    return
        finally:
            self._advancing = False

    def _replace(self, stage: StageSpec) -> None:
        """Put the Stages in place of the one that they come of; they are started in the next round."""
        try:
            if self._expand is None:
                raise BackendError("its matrix is made of outputs, which nobody reads here")
            written = {source: self._written(source) for source in stage.cells_from}
            cells = self._expand(stage, written, max(other.number for other in self._stages) + 1)
        except (OutputError, CiError, BackendError) as error:
            self._conclude(StageResult(stage=stage, state=State.ERROR, reason=str(error)))
            return
        self._reporter.stage_expanded(stage, cells)
        if not cells:
            self._conclude(StageResult(stage=stage, state=State.SKIPPED, reason="its matrix has no cells"))
            return
        at = self._stages.index(stage)
        self._stages = (*self._stages[:at], *cells, *self._stages[at + 1 :])

    def _written(self, source: Reference) -> str:
        """The output that a matrix is made of. One with a secret in it is none: what a matrix holds is shown."""
        title, _, step = source.step.partition("/")
        for result in self._results.values():
            if result.stage.name != title or source.name not in result.outputs.get(step, {}):
                continue
            value = result.outputs[step][source.name]
            if any(one.name == step and one.outputs.get(source.name) != value for one in result.steps):
                raise OutputError(f"{source} has a secret in it, and what a matrix holds is shown")
            return value
        raise OutputError(f"there is no output {source}")

    def _outputs_before(self, stage: StageSpec) -> dict[str, Mapping[str, str]]:
        """What the steps of the Stages that this one depends on have written, by `stage/step`."""
        return {
            f"{result.stage.name}/{step}": written
            for result in self._results.values()
            if result.stage.name in stage.depends_on
            for step, written in result.outputs.items()
        }

    def _failed_stages(self) -> tuple[str, ...]:
        """The names of those that have failed so far, each once, in the file's order."""
        return tuple(dict.fromkeys(result.stage.name for result in self.results if result.state in _BAD))

    def _conclude(self, result: StageResult) -> None:
        self._results[result.stage.number] = result
        self._reporter.stage_finished(result)

    def _start(self, stage: StageSpec) -> None:
        run = StageRun(
            stage,
            replace(self._inputs(stage), outputs=self._outputs_before(stage), failed_stages=self._failed_stages()),
            loop=self._loop,
            backend=self._backend,
            reporter=self._reporter,
            finished=self._finished,
        )
        self._running[stage.number] = run
        run.start()

    def _finished(self, result: StageResult) -> None:
        del self._running[result.stage.number]
        self._results[result.stage.number] = result
        self._advance()
