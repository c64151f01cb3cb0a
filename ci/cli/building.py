"""A local run from the images to the summary: what `ci-run local` does once nothing is wrong any more.

Puts the engine's back end, the loop, the console and the Stages together. Whatever happens on the way, what was made is
removed: by the Stages themselves, by `with` blocks, and after a SIGKILL by the `reclaim` of the next start.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from ci.cli import images, keeping
from ci.cli.console import Console
from ci.cli.display import Several
from ci.cli.events import EventLines
from ci.cli.selection import Selection
from ci.cli.shelling import open_shell
from ci.cli.titles import replaced, titles
from ci.cli.workspaces import Workspaces
from ci.cli.writing import Writer
from ci.errors import CiError
from runners import artifacts, workspace
from runners.build import Build
from runners.engine import EngineBackend
from runners.gitrepo import GitError
from runners.loop import Loop
from runners.runfolder import RunFolder
from runners.slot import Slot
from runners.stage import StageInput
from runners.treepool import TreePool
from sandbox.runtime.engine import Engine, default_home

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ci.cli.display import Display
    from ci.cli.interrupts import Interrupts
    from ci.cli.junit import JUnit
    from ci.cli.order import Order
    from ci.pipeline.outputs import Reference
    from ci.pipeline.spec import Clone, StageSpec, StepSpec
    from runners.caching import StageCaches
    from runners.cloning import Project
    from runners.remembering import StageMemory
    from runners.report import StageResult
    from runners.stage import FailedStep
    from runners.workspace import Snapshot

_PASSED, _FAILED, _INTERRUPTED = 0, 1, 130
_BROKEN_PIPE = 141  # 128 + SIGPIPE, as a program that the signal ended


def build(order: Order, interrupts: Interrupts, *, started: float) -> int:
    """Run it; returns the exit code. `started` is when the command was, by time.monotonic().

    Raises CiError, SandboxError and OSError for what stands in the way of a run; KeyboardInterrupt before it began.
    """
    home = default_home()
    images.prepare(
        order.selection.images(),
        home=home,
        project=order.project,
        filename=order.filename,
        environment=os.environ,
        pull=order.pull,
        progress=_say,
    )
    engine, loop = Engine(home), Loop()
    try:
        with RunFolder(home) as folder, Slot(home, order.project) as slot:
            sources = lambda: images.sources(home, order.project, os.environ)  # noqa: E731
            backend = EngineBackend(
                engine,
                folder,
                sources=sources,
                progress=_say,
                network=order.network,
                keeps=order.keep or order.shell,
                publishes=order.publish,
            )
            backend.reclaim()
            slot.reclaim()
            if not backend.has_networks:
                order = _on_the_hosts_network(order)
            cloned = _cloned(order.clone, order.selection, folder) if order.clone is not None else None
            try:
                copied = _snapshot(order, folder, slot, home)
            except GitError as error:
                raise CiError(f"{order.project}: {error}", hint="git is asked which files to build") from error
            workspaces = Workspaces(
                copied,
                folder.path,
                count=len(order.selection.stages),
                keep=home / keeping.FOLDER if order.keep else None,
                write=order.write,
                pool=TreePool((slot.path if slot.taken else folder.path) / "further"),
                cloned=cloned,
            )
            return _Run(order, interrupts, loop, backend, workspaces).to_the_end(started)
    finally:
        loop.close()
        engine.close()


class _Run:
    """The Stages on the loop, with the console and the signals."""

    def __init__(
        self, order: Order, interrupts: Interrupts, loop: Loop, backend: EngineBackend, workspaces: Workspaces
    ) -> None:
        self._order = order
        self._interrupts = interrupts
        self._loop = loop
        self._backend = backend
        self._workspaces = workspaces
        self._unread = False
        self._kept: list[str] = []
        stages = order.selection.stages
        writer = Writer(1, loop, self._nobody_reads)
        self._display: Display = (
            EventLines(writer, stages, time.time) if order.json else Console(writer, stages, order.style, loop)
        )
        self._junit = _junit(order.junit) if order.junit is not None else None
        reporter = self._display if self._junit is None else Several((self._display, self._junit))
        self._stages = stages
        self._came_of: dict[int, StageSpec] = {}  # cells, by their numbers, of Stages whose matrix was not known
        self._build = Build(
            stages, self._input, loop=loop, backend=backend, reporter=reporter, jobs=order.jobs, expand=self._expand
        )

    def to_the_end(self, started: float) -> int:
        """Build, and say how it went."""
        interrupts = self._interrupts
        interrupts.noticed = self._display.interrupt
        interrupts.deferred = True
        self._loop.watch(interrupts.descriptor, self._interrupted)
        gc.enable()  # see `local.run`
        try:
            results = self._build.run()
        except BaseException:
            self._build.abandon()
            raise
        self._loop.forget(interrupts.descriptor)
        self._tell(results, time.monotonic() - started)
        if interrupts.count:
            return _INTERRUPTED
        if self._unread:
            return _BROKEN_PIPE
        return _FAILED if any(result.state.bad for result in results) else _PASSED

    def _input(self, stage: StageSpec) -> StageInput:
        order = self._order
        return StageInput(
            workspace=lambda: self._make_workspace(stage),
            artifacts=lambda step: self._collect(stage, step),
            release=lambda: self._workspaces.release(stage),
            mounts=(*self._workspaces.mounts, *order.mounts),
            environment=order.environment,
            secrets=order.secrets,
            excluded=order.selection.left_out(self._came_of.get(stage.number, stage)),
            failed=self._failed if order.keep or order.shell else None,
            caches=self._caches if order.caches else None,
            memory=self._memory if order.incremental and not order.mounts else None,
        )

    def _expand(self, stage: StageSpec, written: Mapping[Reference, str], first: int) -> tuple[StageSpec, ...]:
        """The Stages of a matrix that is known now. Images that it names and are not here are fetched meanwhile."""
        cells = self._order.expand(stage, written, first)
        names = tuple(Selection(stages=cells).images())
        for name in self._backend.missing_images(names) if self._order.pull is not images.Pull.NEVER else ():
            self._backend.fetch_image(name)
        self._stages = replaced(self._stages, stage, cells)
        self._came_of |= {cell.number: stage for cell in cells}
        self._workspaces.expect(len(cells) - 1)
        return cells

    def _caches(self, stage: StageSpec, workspace: Path, tell: Callable[[str], None]) -> StageCaches:
        from ci.cli.cache import open_store  # noqa: PLC0415  (few pipelines have any)
        from runners.caching import StageCaches  # noqa: PLC0415

        home, order = self._backend.engine.home, self._order
        store = open_store(home, os.environ)
        store.reclaim()
        return StageCaches(
            store,
            stage,
            workspace,
            self._backend.folder.path / f"caches-{stage.number}",
            project=str(order.project),
            moves=not order.keep and not order.write,
            tell=tell,
        )

    def _memory(self, stage: StageSpec, workspace: Path) -> StageMemory:
        from runners.cachestore import CacheStore  # noqa: PLC0415  (seldom)
        from runners.remembering import FOLDER, LIMIT, StageMemory  # noqa: PLC0415
        from runners.treestate import Digests  # noqa: PLC0415

        store = CacheStore(self._backend.engine.home, limit=LIMIT, folder=FOLDER)
        store.reclaim()
        kept = self._workspaces.digests(stage)
        return StageMemory(store, stage, workspace, Digests(kept), project=str(self._order.project))

    def _make_workspace(self, stage: StageSpec) -> Path:
        """With the artifacts of the Stages that this one depends on, in their order."""
        path = self._workspaces.make(stage)
        for other in self._stages:
            if other.name in stage.depends_on:
                artifacts.deliver(self._artifacts(other), path)
        return path

    def _collect(self, stage: StageSpec, step: StepSpec) -> None:
        try:
            found = artifacts.collect(step.artifacts, self._workspaces.path(stage), self._artifacts(stage))
            if self._order.artifacts is not None:
                target = self._order.artifacts / titles(self._stages)[stage.number]
                target.mkdir(parents=True, exist_ok=True)
                artifacts.deliver(self._artifacts(stage), target)
        except OSError as error:
            self._display.notice(stage, f"{step.name}: could not keep artifacts: {error.filename}: {error.strerror}")
            return
        if not found.written:
            self._display.notice(
                stage, f"{step.name} has left nothing that is an artifact: {', '.join(step.artifacts)}"
            )

    def _artifacts(self, stage: StageSpec) -> Path:
        return self._backend.folder.path / f"artifacts-{stage.number}"

    def _failed(self, failed: FailedStep) -> None:
        """A shell while the network and the services of the Stage are still there; then it is kept, or removed."""
        home, name = self._backend.engine.home, failed.container.step.name
        if self._order.shell:
            mounts = (*self._workspaces.mounts, *self._order.mounts)
            kept = keeping.describe(failed, self._workspaces.path(failed.stage), mounts)
            container = failed.container
            secrets = {name: container.environment[name] for name in container.step.secret_variables}
            self._display.say(f"{name} has failed: a shell in its container, as it left it; the run goes on after it")
            open_shell(kept, secrets, str(home), network=failed.kept.network)
        if self._order.keep:
            kept = keeping.describe(failed, self._workspaces.kept_path(failed.stage), self._workspaces.settled_mounts)
            keeping.Keeper(home).add(kept)
            self._kept.append(name)
        else:
            self._backend.engine.images.remove(failed.kept.image)

    def _interrupted(self) -> None:
        self._interrupts.drain()
        again = self._interrupts.count > 1
        if not again:
            self._display.say("interrupted: ending the steps (once more kills them)")
        self._build.cancel("interrupted", gently=not again)

    def _nobody_reads(self) -> None:
        self._unread = True
        self._build.cancel("nobody reads the output")

    def _tell(self, results: tuple[StageResult, ...], seconds: float) -> None:
        interrupted = self._interrupts.count > 0
        for warning in self._backend.warnings:
            _say(warning)
        for path in self._workspaces.kept:
            _say(f"the workspace is kept in {path}")
        if self._kept:
            _say(f"kept for `ci-run shell`: {', '.join(self._kept)}; `ci-run shell --remove` removes it")
        for text in self._workspaces.written:
            _say(text)
        if self._junit is not None:
            self._junit.write(results)
        if not self._unread:
            self._display.summarize(results, interrupted=interrupted, seconds=seconds)


def _junit(path: Path) -> JUnit:
    from ci.cli.junit import JUnit  # noqa: PLC0415  (what writes XML takes longer to load than to write)

    return JUnit(path)


def _cloned(project: Project, selection: Selection, folder: RunFolder) -> Callable[[Clone], Path]:
    from ci.cli.remote import clones  # noqa: PLC0415  (seldom)

    return clones(project, selection.stages, folder.path, _say)


def _snapshot(order: Order, folder: RunFolder, slot: Slot, home: Path) -> Snapshot:
    """In the project's slot, where most of it is from the last time, or afresh where another run has the slot."""
    project = order.project
    if order.clone is not None:
        return workspace.Snapshot(source=project, path=folder.path / "pristine", files=0)
    if slot.taken:
        (folder.path / "pristine").symlink_to(slot.tree)  # whoever looks at the folder of a run finds its files
        return workspace.snapshot(project, slot.tree, leave_out=home, manifest=slot.manifest)
    return workspace.snapshot(project, folder.path / "pristine", leave_out=home)


def _on_the_hosts_network(order: Order) -> Order:
    """For an ordinary user all Stages share the host's ports: those with services must not meet each other there."""
    if not any(stage.services for stage in order.selection.stages):
        return order
    _say("there is the host's network only: services listen at 127.0.0.1, and stages run one by one")
    return replace(order, jobs=1)


def _say(text: str) -> None:
    sys.stderr.write(f"ci-run: {text}\n")
    sys.stderr.flush()
