"""What a Stage needs before its first step: the workspace, images, artifacts of Stages before it; told as its clone
step.

Called by `worker`, in whose process a signal may interrupt any of it by an exception.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from ci.errors import CiError
from runners import artifacts, checkout, trust
from runners.cloning import Project, complete
from runners.outbox import ARTIFACTS
from runners.reporting import ERROR, SUCCESS
from runners.stage import StageInput
from runners.treeslots import TreeSlot
from sandbox.kernel.paths import Root

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from pathlib import Path

    from ci.pipeline.spec import StageSpec, StepSpec
    from runners.assignment import Assignment
    from runners.backend import Backend, HostMount
    from runners.caching import StageCaches
    from runners.host import Host
    from runners.outbox import OutboxLog
    from runners.reporting import OutboxReporter


class Preparation:
    """Of one Stage, in its `folder`; what has to be given back afterwards is put on the `stack`."""

    def __init__(self, given: Assignment, host: Host, folder: Path, reporter: OutboxReporter, stack: ExitStack) -> None:
        self._given = given
        self._host = host
        self._folder = folder
        self._reporter = reporter
        self._stack = stack
        self._log: OutboxLog | None = None
        self._workspace = folder
        self._scratch = folder

    def everything(self) -> tuple[Backend, StageInput]:
        """Make it all, and the back end. Raises CiError, SandboxError, BackendError, OSError, what signals raise."""
        began = time.time()
        if self._given.clone:
            self._log = self._reporter.begin(self._given.clone)
        try:
            found = self._everything()
        except Exception as error:
            if self._given.clone:
                self._say(str(error) or "stopped")
                self._reporter.end(self._given.clone, ERROR, error=str(error), started=began, finished=time.time())
            raise
        if self._given.clone:
            self._reporter.end(self._given.clone, SUCCESS, exit_code=0, started=began, finished=time.time())
        return found

    def _everything(self) -> tuple[Backend, StageInput]:
        given = self._given
        refused = "" if given.trusted else trust.refusal(given.spec)
        if refused:
            raise CiError(refused, reference="not-trusted")
        backend, self._scratch = self._stack.enter_context(self._host.backend(given.logins, self._say))
        mounts = self._clone()
        self._fetch_images(backend)
        self._bring_artifacts()
        for step, reason in given.refusals:
            self._say(f"{step}: {reason}")
        return backend, StageInput(
            workspace=lambda: self._workspace,
            mounts=mounts,
            environment=self._environment(),
            secrets=given.secrets,
            outputs=given.outputs,
            artifacts=self._collect,
            caches=self._caches if not given.event.fork else None,  # a stranger's build leaves nothing to others
        )

    def _say(self, text: str) -> None:
        if self._log is not None and self._log.is_open:
            self._log.write(f"{text}\n".encode("utf-8", "replace"))

    def _environment(self) -> dict[str, str]:
        """What only a runner knows."""
        name = self._host.identity.name
        found = {"CI_MACHINE": name, **self._given.environment}
        if any("DRONE_STAGE_NAME" in step.environment for step in self._given.spec.steps):
            found["DRONE_STAGE_MACHINE"] = name
        return found

    def _clone(self) -> tuple[HostMount, ...]:
        given, event, how = self._given, self._given.event, self._given.spec.clone
        if not how.by_runner:
            slot = self._stack.enter_context(TreeSlot(self._host.identity.root, f"{given.repository}-empty"))
            self._workspace = checkout.empty(slot.path)
            return ()
        ref = event.full_ref
        began = time.monotonic()
        mirror = self._host.mirror(given.repository, given.url, given.header, event.commit, ref)
        fetched = time.monotonic()
        slot = self._stack.enter_context(TreeSlot(self._host.identity.root, given.repository))
        source = checkout.Source(
            mirror=mirror,
            url=given.url,
            commit=event.commit,
            branch=event.branch if ref == f"refs/heads/{event.branch}" else "",
            depth=how.depth,
            tags=how.tags,
        )
        project = Project(url=given.url, ref=ref, commit=event.commit)
        mount = checkout.check_out(source, slot.path, lambda tree: complete(project, how, tree, tell=self._say))
        self._workspace = slot.path / "tree"
        ended = time.monotonic()
        times = f"fetched in {(fetched - began) * 1000:.0f} ms, checked out in {(ended - fetched) * 1000:.0f} ms"
        self._say(f"{event.commit[:12]} of {ref or 'the repository'}: {times}")
        return (mount,)

    def _fetch_images(self, backend: Backend) -> None:
        every = (*self._given.spec.services, *self._given.spec.steps)
        containers = [step for step in every if step.build is None and not step.built_by]
        missing = set(backend.missing_images(tuple(dict.fromkeys(step.image for step in containers))))
        for step in containers:
            if step.pull == "always" or (step.image in missing and step.pull != "never"):
                missing.discard(step.image)
                self._say(f"fetching {step.image}")
                backend.fetch_image(step.image)

    def _bring_artifacts(self) -> None:
        """Into the workspace, from the Stages before this one, in their order."""
        if not self._given.artifacts:
            return
        rpc = self._host.rpc()
        try:
            for stage in self._given.artifacts:
                folder = self._folder / "before" / str(stage)
                folder.mkdir(parents=True)
                with Root(folder) as root:
                    for one in rpc.artifacts(stage):
                        path = str(one["path"])
                        with open(root.create(path, flags=os.O_RDWR), "w+b") as file:  # noqa: PTH123  (a descriptor)
                            rpc.get_artifact(stage, path, file)
                brought = artifacts.deliver(folder, self._workspace)
                self._say(f"brought {len(brought.written)} artifacts of stage {stage}")
        finally:
            rpc.close()

    def _collect(self, step: StepSpec) -> None:
        number = self._given.numbers[step.name]
        try:
            found = artifacts.collect(step.artifacts, self._workspace, self._folder / ARTIFACTS / str(number))
        except OSError as error:
            text = f"{step.name}: could not keep artifacts: {error.filename}: {error.strerror}"
            self._reporter.notice(self._given.spec, text)
            return
        for path in found.written:
            self._reporter.artifact(number, path.decode("utf-8", "surrogateescape"))

    def _caches(self, stage: StageSpec, workspace: Path, tell: Callable[[str], None]) -> StageCaches:
        from runners.caching import StageCaches  # noqa: PLC0415  (few pipelines have any)

        return StageCaches(
            self._host.caches(),
            stage,
            workspace,
            self._scratch / "caches",
            project=f"repository {self._given.repository}",
            moves=True,  # nobody needs the workspace any more then
            tell=tell,
        )
