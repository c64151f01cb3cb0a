"""Runs one Stage: starts what `schedule` says, listens to it, tells the reporter, cleans up.

A `StageRun` lives on a `Loop` and never blocks it: containers' output and ends are descriptors, deadlines are timers.
Called by `runners.build`. The order of a step's end: its process has ended → its output is read to the last byte →
its log is closed → its result is recorded → the next steps start.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ci.errors import CiError
from ci.pipeline import netrc
from ci.pipeline.outputs import OutputError
from ci.pipeline.script import script
from ci.pipeline.spec import OnFailure
from runners import schedule, verdicts
from runners.backend import BackendError, Container
from runners.handover import Handover
from runners.masking import Masker, json_text, mask_patterns, masked
from runners.report import StageResult
from runners.running import Running, seconds
from runners.schedule import Progress, State, StepResult
from runners.status import corrected

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ci.pipeline.spec import StageSpec, StepSpec
    from runners.backend import Backend, Ended, Handle, HostMount, Kept, Prepared
    from runners.caching import StageCaches
    from runners.loop import Loop, Timer
    from runners.remembering import StageMemory
    from runners.report import Reporter
    from runners.schedule import Decision
    from runners.testreports import Tally

_OVER = frozenset({State.PASSED, State.FAILED, State.IGNORED})


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedStep:
    """A step that failed, and what is kept of it."""

    stage: StageSpec
    container: Container
    kept: Kept


@dataclass(frozen=True, slots=True, kw_only=True)
class StageInput:
    """What a Stage needs beside its spec.

    `workspace` is called when the Stage starts and gives the folder to build in, `release` when it is over. `secrets`
    are values by name; all are masked. `environment` wins over the steps' own. `excluded` are names of steps and
    services that are left out. `failed`, where there is one, is called with each step that has failed, before its
    container is removed and while everything waits for it; `artifacts` with each step that has some, when it has run.
    `caches` makes those of a Stage that has some, for its workspace; what it has to say goes to the callback.
    `memory` makes that of a Stage, whose steps then run one at a time, and not again where nothing has changed.
    `failed_stages` are the names of those of the build that have failed, `outputs` what the Stages that this one
    depends on have written, by `stage/step`.
    """

    workspace: Callable[[], Path]
    release: Callable[[], None] = lambda: None
    mounts: tuple[HostMount, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    failed_stages: tuple[str, ...] = ()
    outputs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    excluded: frozenset[str] = frozenset()
    failed: Callable[[FailedStep], None] | None = None
    artifacts: Callable[[StepSpec], None] = lambda _: None
    caches: Callable[[StageSpec, Path, Callable[[str], None]], StageCaches] | None = None
    memory: Callable[[StageSpec, Path], StageMemory] | None = None


class StageRun:
    """One Stage from preparation to removal; `finished` is called once, with its result."""

    def __init__(
        self,
        stage: StageSpec,
        given: StageInput,
        *,
        loop: Loop,
        backend: Backend,
        reporter: Reporter,
        finished: Callable[[StageResult], None],
    ) -> None:
        self.stage = stage
        self._given = given
        self._loop = loop
        self._backend = backend
        self._reporter = reporter
        self._report_end = finished
        self._patterns = mask_patterns(given.secrets.values())
        self._workspace = Path()
        self._caches: StageCaches | None = None
        self._memory: StageMemory | None = None
        self._prepared: Prepared | None = None
        self._running: dict[str, Running] = {}
        self._containers: dict[str, Container] = {}
        self._results: dict[str, StepResult] = {}
        self._ready: set[str] = set()
        self._handover = Handover(self._patterns, given.outputs)
        self._retried: dict[str, int] = {}
        self._cancelled = ""
        self._interrupted = False
        self._stopping = False
        self._over = False
        self._started = loop.now()
        self._deadline: Timer | None = None

    def start(self) -> None:
        """Prepare and begin."""
        self._started = self._loop.now()
        self._reporter.stage_started(self.stage)
        try:
            self._workspace = self._given.workspace()
            if self._given.caches is not None and any(step.caches for step in self.stage.steps):
                self._caches = self._given.caches(self.stage, self._workspace, self._notice)
            if self._given.memory is not None:
                self._memory = self._remembers(self._given.memory)
            self._prepared = self._backend.prepare(self.stage, workspace=self._workspace, mounts=self._given.mounts)
        except BackendError as error:
            self._finish(State.ERROR, str(error))
            return
        except OSError as error:  # the workspace: a full disk, a file that cannot be read
            self._finish(State.ERROR, f"{error.filename}: {error.strerror}" if error.filename else str(error))
            return
        if self.stage.timeout is not None:
            reason = f"the stage's timeout of {seconds(self.stage.timeout)} is over"
            self._deadline = self._loop.after(self.stage.timeout, lambda: self.cancel(reason))
        self._advance()

    def cancel(self, reason: str, *, interrupted: bool = False, gently: bool = False) -> None:
        """End what runs, start nothing more. `gently`: containers that handle their stop signal get a moment for it."""
        if self._over:
            return
        self._cancelled = self._cancelled or reason
        self._interrupted = self._interrupted or interrupted
        for running in tuple(self._running.values()):
            running.cancelled = True
            if gently:
                running.stop()
            else:
                running.kill()
        self._advance()

    def abandon(self) -> None:
        """Remove everything without another word: something else went wrong."""
        if not self._over and self._prepared is not None:
            self._over = True
            self._prepared.finish()

    # --- what happens next -----------------------------------------------------------------------------------------

    def _progress(self) -> Progress:
        return Progress(
            results=self._results,
            running=frozenset(self._running),
            ready=frozenset(self._ready),
            cancelled=self._cancelled,
            excluded=self._given.excluded,
        )

    def _advance(self) -> None:
        while not self._over and self._prepared is not None:
            decision = schedule.decide(self.stage, self._progress())
            for result in decision.skip:
                self._record(result)
            for step in self._ours_to_start(decision):
                self._start(step, self._prepared)
            if decision.steps_over:
                self._stop_services()
                return
            if not decision.skip and not (decision.start and self._ours_to_start(decision)):
                return

    def _ours_to_start(self, decision: Decision) -> tuple[StepSpec, ...]:
        """All, or, where steps are remembered, one when none runs: what several change cannot be told apart."""
        if self._memory is None:
            return decision.start
        return () if self._running else decision.start[:1]

    def _start(self, step: StepSpec, prepared: Prepared) -> None:
        if self._memory is not None and self._recall(step, prepared, self._memory):
            return
        log = self._reporter.step_started(self.stage, step)
        running = Running(
            step,
            loop=self._loop,
            watcher=self,
            log=log,
            masker=Masker(self._patterns),
            service=step.detach or step in self.stage.services,
        )
        started = self._loop.now()
        try:
            self._containers[step.name] = self._container(step, service=running.service)
            handle = prepared.start(self._containers[step.name])
        except (BackendError, CiError) as error:
            log.close()
            self._record(
                StepResult(
                    name=step.name,
                    state=State.ERROR,
                    started=started,
                    finished=self._loop.now(),
                    reason=str(error),
                )
            )
            return
        self._running[step.name] = running
        if handle.published:
            places = ", ".join(f"{port} at {place}" for port, place in handle.published.items())
            self._reporter.notice(self.stage, f"{step.name}: port {places}")
        running.begin(handle)

    def _remembers(self, memory: Callable[[StageSpec, Path], StageMemory]) -> StageMemory | None:
        """None where steps do more than what is in the workspace: for services, and what runs in the background."""
        if self.stage.services or any(step.detach for step in self.stage.steps):
            self._notice("all steps are run again: it has services, and what those hold is not known")
            return None
        return memory(self.stage, self._workspace)

    def _recall(self, step: StepSpec, prepared: Prepared, memory: StageMemory) -> bool:
        """Whether the step need not run: what it did when it passed has been brought back."""
        began = self._loop.now()
        try:
            container = self._container(step, service=False, mounts=False)
            recalled = memory.recall(container, prepared.image_id(step))
        except (BackendError, CiError) as error:
            self._record(
                StepResult(
                    name=step.name, state=State.ERROR, started=began, finished=self._loop.now(), reason=str(error)
                )
            )
            return True
        if recalled is None:
            return False
        self._handover.recall(step, recalled.outputs)
        if step.artifacts:
            self._given.artifacts(step)
        self._record(
            StepResult(
                name=step.name,
                state=State.PASSED,
                exit_code=0,
                started=began,
                finished=self._loop.now(),
                cached=True,
                reason=f"passed in {seconds(recalled.seconds)} before, and nothing has changed since",
                outputs=recalled.outputs,
                tests=self._read_reports(step, State.PASSED),
            )
        )
        return True

    def _learn(self, step: StepSpec, result: StepResult, memory: StageMemory) -> None:
        """A step has passed. One that ended the Stage early, or whose outputs have secrets in them, runs again."""
        if result.exit_code == 0 and not self._handover.holds_secrets(step):
            memory.learn(step, result.outputs, result.duration or 0.0)

    def _container(self, step: StepSpec, *, service: bool, mounts: bool = True) -> Container:
        environment = {
            **step.environment,
            **corrected(step.environment, self._results.values(), self._given.failed_stages),
        }
        for variable, name in step.secrets.items():
            environment[variable] = self._secret(name, step, variable)
        for variable, pieces in step.composed.items():
            found = (json_text(self._secret(one.secret, step, variable)) if one.secret else one.text for one in pieces)
            environment[variable] = "".join(found)
        if "CI_STEP_NAME" in environment:
            environment["CI_STEP_STARTED"] = str(int(time.time()))
        environment |= self._handover.variables(step)
        environment |= self._given.environment
        login = netrc.SCRIPT if netrc.PASSWORD in step.secrets else ""
        text = script(step.commands, step.shell, before=login) if step.commands else ""
        own = self._caches.begin(step) if mounts and self._caches is not None and step.caches else ()
        return Container(step=step, environment=environment, script=text, service=service, mounts=own)

    def _secret(self, name: str, step: StepSpec, variable: str) -> str:
        if name not in self._given.secrets:
            raise BackendError(f'the secret "{name}" is not there', hint=f"{step.name} wants it as {variable}")
        return self._given.secrets[name]

    def _stop_services(self) -> None:
        if not self._running:
            self._finish(schedule.outcome(self.stage, self._progress(), interrupted=self._interrupted), self._cancelled)
        elif not self._stopping:
            self._stopping = True
            for running in tuple(self._running.values()):
                running.stop()

    def _finish(self, state: State, reason: str) -> None:
        self._over = True
        if self._deadline is not None:
            self._deadline.cancel()
        if self._prepared is not None:
            self._prepared.finish()
        if self._caches is not None:
            self._caches.finish()
        if self._memory is not None:
            self._memory.finish()
        self._given.release()
        order = (*self.stage.services, *self.stage.steps)
        result = StageResult(
            stage=self.stage,
            state=state,
            steps=tuple(self._results[step.name] for step in order if step.name in self._results),
            started=self._started,
            finished=self._loop.now(),
            reason=reason,
            outputs=self._handover.written,
        )
        self._reporter.stage_finished(result)
        self._report_end(result)

    # --- called by the running containers --------------------------------------------------------------------------

    def is_ready(self, name: str, doubt: str = "") -> None:
        """A service can be used, or is not waited for any more."""
        if doubt:
            self._notice(f"{name}: {doubt}; the steps begin without waiting for it")
        self._ready.add(name)
        self._advance()

    def will_close(self, running: Running, ended: Ended, handle: Handle) -> None:
        """Outputs are read; a failed step may be kept, or looked at."""
        if running.service:
            return
        try:
            self._handover.read(running.step, handle.written())
        except OutputError as error:
            running.spoiled = str(error)
        if self._given.failed is None:
            return
        state = schedule.judge(running.step, ended.code, timed_out=running.timed_out, cancelled=running.cancelled)
        if state is not State.FAILED or self._retried.get(running.step.name, 0) < running.step.retries:
            return
        try:
            kept = handle.keep()
        except BackendError as error:
            self._reporter.notice(self.stage, f"{running.step.name} could not be kept: {error}")
            return
        self._given.failed(FailedStep(stage=self.stage, container=self._containers[running.step.name], kept=kept))

    def has_ended(self, running: Running, ended: Ended) -> None:
        """A container is over and its output read."""
        del self._running[running.step.name]
        service = running.service
        if service:
            self._ready.discard(running.step.name)
            result = verdicts.of_service(running, ended, stopping=self._stopping)
        else:
            result = self._result_of_step(running, ended)
        if not service and result.state is State.PASSED:
            if self._caches is not None:
                self._caches.passed(running.step)
            if self._memory is not None:
                self._learn(running.step, result, self._memory)
        if not service and result.state in _OVER and running.step.artifacts:
            self._given.artifacts(running.step)
        if not service and self._tries_again(running.step, result):
            return
        self._record(result)
        if service and not self._stopping and result.state is State.IGNORED:
            word = "step" if running.step.detach else "service"
            self._reporter.notice(self.stage, f"{word} {result.name} {result.reason}, before the steps were over")
        if result.state is State.FAILED and running.step.failure is OnFailure.FAST:
            self.cancel(f"{result.name} failed")
        self._advance()

    def _tries_again(self, step: StepSpec, result: StepResult) -> bool:
        """Whether a step that failed has been started once more."""
        tried = self._retried.get(step.name, 0)
        failed = result.state in {State.FAILED, State.IGNORED}
        if not failed or tried == step.retries or self._cancelled or self._prepared is None:
            return False
        self._retried[step.name] = tried + 1
        why = result.reason or f"failed with exit code {result.exit_code}"
        self._reporter.notice(self.stage, f"{step.name}: {why}; trying again ({tried + 1} of {step.retries})")
        self._start(step, self._prepared)
        return True

    def _notice(self, text: str) -> None:
        self._reporter.notice(self.stage, text)

    def _record(self, result: StepResult) -> None:
        self._results[result.name] = result
        self._reporter.step_finished(self.stage, result)

    def _result_of_step(self, running: Running, ended: Ended) -> StepResult:
        """With what it has left for others: outputs, and reports of tests."""
        result = verdicts.of_step(running, ended, cancelled=self._cancelled)
        tests = self._read_reports(running.step, result.state)
        return replace(result, outputs=self._handover.shown(running.step), tests=tests)

    def _read_reports(self, step: StepSpec, state: State) -> Tally | None:
        """What the tests of a step that ran to its end have said; files that are no reports are told of."""
        if not step.reports or state not in _OVER:
            return None
        from runners import testreports  # noqa: PLC0415  (few steps have any)

        try:
            tests, problems = testreports.collect(step.reports, self._workspace)
        except OSError as error:
            tests, problems = None, (f"{error.filename}: {error.strerror}",)
        for problem in problems:
            self._reporter.notice(self.stage, f"{step.name}: report: {problem}")
        return None if tests is None else tests.mapped(lambda text: masked(self._patterns, text))
