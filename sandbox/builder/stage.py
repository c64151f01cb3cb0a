"""One stage: its instructions in order, on a base.

Settings are changed at once; what makes files has a key first, and is done only where the cache does not know it.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from sandbox.builder.cancelling import CancelledError
from sandbox.builder.copying import Copying
from sandbox.builder.foreign import is_runnable
from sandbox.builder.keys import files_digest, files_key, run_key
from sandbox.builder.ownership import owner_of_folders
from sandbox.builder.rights import check_rights
from sandbox.builder.running import RunError, RunStep, run
from sandbox.builder.scope import StageScope
from sandbox.builder.transfer import FolderTransfer, Transfer
from sandbox.dockerfile import instructions as records
from sandbox.dockerfile.diagnostics import Mistake
from sandbox.dockerfile.heredoc import read_heredoc
from sandbox.dockerfile.mounts import MountError, parse_mount
from sandbox.dockerfile.parsing import parse_trigger
from sandbox.errors import SandboxError, UnsupportedError
from sandbox.image import settings
from sandbox.image.buildcache import CachedStep
from sandbox.runtime.spec import Mount as RuntimeMount
from sandbox.runtime.spec import MountKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from sandbox.builder.base import Result
    from sandbox.builder.graph import StagePlan
    from sandbox.builder.mounting import Prepared
    from sandbox.builder.progress import Step
    from sandbox.builder.solver import Solver
    from sandbox.dockerfile.instructions import Instruction
    from sandbox.image.digest import ChainID
    from sandbox.image.image import LayerRecord

_SHELL = "/bin/sh"
_SCRIPTS = "/dev/pipes"  # where BuildKit shows scripts, too
_LAYERED = (records.Run, records.Copy, records.Add, records.Workdir)


class StageBuilder:
    """Builds one stage; `named` says that the progress names it."""

    def __init__(self, solver: Solver, plan: StagePlan, result: Result, *, named: bool) -> None:
        self.solver = solver
        self.plan = plan
        self.result = result
        self.scope = StageScope(solver.options.build_args, solver.plan.values, result.args)
        platform = str(solver.options.platform) if solver.options.names_platform else ""
        title = plan.stage.base.alias or (f"stage-{plan.stage.number}" if named else "")
        self._title = f"{platform} {title}".strip()
        self._step = 1
        self._steps = 1 + sum(isinstance(one, _LAYERED) for one in plan.stage.instructions)
        self._runs = sum(isinstance(one, records.Run) for one in plan.stage.instructions)  # that are to come
        self._use_cache = solver.options.use_cache and not solver.is_left_out(plan.stage)
        self._command_set = False

    def build(self) -> Result:
        """All instructions; the stage's result."""
        step = self.solver.progress.begin(self._name(f"FROM {self.plan.image or self.plan.stage.base.image}"))
        step.done()
        for instruction in (*self._triggers(), *self.plan.stage.instructions):
            try:
                self._do(instruction)
            except Mistake as mistake:
                raise self.solver.options.dockerfile.mistaken(instruction, mistake) from None
            except RunError as error:
                if instruction in self.plan.stage.instructions:  # a trigger's line is another file's
                    name = self.solver.options.dockerfile.source.name
                    error.message = f"{name}:{instruction.span.line}: {error.message}"
                raise
        return replace(self.result, args=dict(self.scope.args))

    def variables(self) -> dict[str, str]:
        """What the words of the next instruction may name."""
        return self.scope.variables(self.result.config.environment)

    def expand(self, text: str) -> str:
        """One word of an instruction."""
        return self.solver.expander.word(text, self.variables())

    def _triggers(self) -> Iterator[Instruction]:
        """The ONBUILD instructions of the base, be it an image or a stage; this image has none of them."""
        triggers = self.result.config.on_build
        self.result = replace(self.result, config=self.result.config._replace(on_build=()))
        for text in triggers:
            yield parse_trigger(text, self.plan.image or self.plan.stage.base.image)

    def _do(self, instruction: Instruction) -> None:
        if isinstance(instruction, records.Arg):
            self.scope.declare(instruction, self.result.config.environment, self.solver.expander)
            text = " ".join(name if value is None else f"{name}={value}" for name, value in instruction.definitions)
            self.result = self.result.changed(self.result.config, f"ARG {text}")
        elif isinstance(instruction, records.Run):
            self._run(instruction)
        elif isinstance(instruction, records.Copy | records.Add):
            self._copy(instruction)
        elif isinstance(instruction, records.Workdir):
            self._workdir(instruction)
        else:
            self._setting(instruction)

    def _setting(self, instruction: Instruction) -> None:
        config, author = self.result.config, ""
        if isinstance(instruction, records.Maintainer):
            author = instruction.author
        else:
            expander, variables = self.solver.expander, self.variables()
            config = settings.apply(config, instruction, expander, variables, command_set=self._command_set)
        self._command_set |= isinstance(instruction, records.Cmd)
        self.result = self.result.changed(config, instruction.text, author=author)

    def _workdir(self, instruction: records.Workdir) -> None:
        config = settings.apply(self.result.config, instruction, self.solver.expander, self.variables())
        self.result = replace(self.result, config=config)
        with self.solver.files(self.result) as target:
            owner = owner_of_folders(config.user, target)
            transfer = FolderTransfer(target, config.working_dir, owner, self.solver.options.nanoseconds)
            digest = files_digest(transfer)
            key = files_key(self.result.key, digest)
            self._cached(f"WORKDIR {config.working_dir}", key, lambda _: self._pack(transfer))

    def _copy(self, instruction: records.Copy | records.Add) -> None:
        with ExitStack() as stack:
            target = stack.enter_context(self.solver.files(self.result))
            origin = instruction.origin if isinstance(instruction, records.Copy) else ""
            source = stack.enter_context(self.solver.view(origin, self.plan.stage.number))
            remote = self.solver.remote_sources(stack)
            copying = Copying(instruction, self.expand, self.document, self.result.config, target, remote)
            text = _on_one_line(instruction.text)
            try:
                transfer = copying.transfer(source, origin, self.solver.options.nanoseconds)
                digest = files_digest(transfer, self.solver.digests.digest)
            except SandboxError as error:
                self._step += 1
                self.solver.progress.begin(self._name(text)).failed(error.message)
                raise
            self._cached(text, files_key(self.result.key, digest), lambda _: self._pack(transfer))

    def document(self, text: str) -> str:
        """The content of a here-document that asks for variables."""
        return self.solver.expander.document(text, self.variables())

    def _pack(self, transfer: Transfer) -> LayerRecord | None:
        record = self.solver.engine.images.snapshots.pack(transfer, self._below(), lease=self.solver.lease)
        return record.layer if record.entries else None

    def _run(self, instruction: records.Run) -> None:
        config = self.result.config
        network, security = self.expand(instruction.network), self.expand(instruction.security)
        insecure = security == "insecure"
        prepared = self._prepare(instruction.mounts, insecure=insecure) if instruction.mounts else []
        argv, script = self._argv(instruction)
        environment = {**self.scope.args, **config.environment}
        check_rights(instruction, network, security, self.solver.options.allowed)
        architecture = self.result.architecture or self.solver.options.platform.architecture
        if not is_runnable(architecture):
            raise UnsupportedError(
                f"RUN in line {instruction.span.line} is for {architecture}, and nothing here executes that",
                hint="register an emulator (Debian: qemu-user-static), or run it in a stage FROM "
                "--platform=$BUILDPLATFORM",
            )
        network = self.solver.options.network if network == "default" else network
        key = run_key(
            self.result.key,
            argv=(*argv, script[1]) if script else argv,
            environment=environment,
            user=config.user,
            working_dir=config.working_dir,
            network=network,
            security=security,
            mounts=[mount.key for mount in prepared],
        )
        secrets = {name: value for mount in prepared for name, value in mount.environment.items()}

        def do(step: Step) -> LayerRecord | None:
            with ExitStack() as stack, self.solver.files(self.result) as below:
                made = [mount.make(stack) for mount in prepared if mount.make is not None]
                ready = RunStep(
                    argv=argv,
                    environment={**environment, **self.scope.proxies(), **secrets},
                    user=config.user,
                    working_dir=config.working_dir,
                    network=network,
                    mounts=(*made, self._script(*script)) if script else tuple(made),
                    insecure=insecure,
                    limits=self.solver.options.limits,
                    shell=config.shell[0] if config.shell else _SHELL,
                    on_failure=self.solver.options.on_failure,
                )
                return run(
                    self.solver.engine,
                    self.result.layers,
                    config,
                    ready,
                    below=below,
                    build=self.solver.folder.name,
                    lease=self.solver.lease,
                    progress=step,
                    cancellation=self.solver.cancellation,
                )

        self._cached(_on_one_line(instruction.text), key, do, history=self._run_history(argv))
        self._runs -= 1

    def _prepare(self, texts: Iterable[str], *, insecure: bool) -> list[Prepared]:
        """The mounts of a RUN, without those that are optional and not to be had."""
        mounter = self.solver.mounter(self.plan.stage.number, insecure=insecure)
        try:
            mounts = [parse_mount(text, self.expand) for text in texts]
        except MountError as error:
            raise Mistake("mount", str(error), hint=error.hint) from None
        made = [mounter.prepare(mount, self.result.config.working_dir) for mount in mounts]
        return [mount for mount in made if mount is not None]

    def _argv(self, instruction: records.Run) -> tuple[tuple[str, ...], tuple[str, str] | None]:
        """The words to execute; a script (name, text) that has to be shown to them where there is one."""
        command, config = instruction.command, self.result.config
        if not command.in_shell or not command.heredocs:
            return settings.in_shell(config, command), None
        first = command.heredocs[0]
        if read_heredoc(command.words[0]) is None:  # the shell reads them: `cat <<A | wc`
            text = command.words[0] + "".join(f"\n{one.content}{one.name}" for one in command.heredocs)
            return settings.in_shell(config, replace(command, words=(text,))), None
        if first.text.startswith("#!"):
            return (f"{_SCRIPTS}/{first.name}",), (first.name, first.text)
        return settings.in_shell(config, replace(command, words=(first.text,))), None

    def _script(self, name: str, text: str) -> RuntimeMount:
        path = self.solver.folder / os.urandom(8).hex()
        path.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")
        path.chmod(0o755)
        return RuntimeMount(kind=MountKind.BIND, target=f"{_SCRIPTS}/{name}", source=str(path), read_only=True)

    def _run_history(self, argv: tuple[str, ...]) -> str:
        args: Mapping[str, str] = self.scope.args
        shown = "".join(f" {name}={value}" for name, value in args.items())
        return f"RUN {f'|{len(args)}{shown} ' if args else ''}{' '.join(argv)}"

    def _cached(self, text: str, key: str, do: Callable[[Step], LayerRecord | None], *, history: str = "") -> None:
        """Take the step from the cache, or do it and remember it."""
        self._step += 1
        step = self.solver.progress.begin(self._name(text))
        try:
            found = self._find(step, key) or self._make(step, key, do)
        except SandboxError as error:
            if self.solver.cancellation.cancelled:
                step.cancelled()
                raise CancelledError from None
            step.failed(error.message)
            raise
        self.solver.steps[key] = found
        options = self.solver.options
        created = options.moment if options.is_epoch else found.created
        self.result = self.result.stacked(found.layer, key, history or text, created)

    def _find(self, step: Step, key: str) -> CachedStep | None:
        """A step that was done before, if its layer is still there and belongs on top of these."""
        usable = self._use_cache or key in self.solver.made
        found = self.solver.cache.get(key) if usable else None
        if found is None:
            return None
        if found.layer is not None:
            snapshots = self.solver.engine.images.snapshots
            if not snapshots.claim(found.layer.chain_id, self.solver.lease):
                return None
            if snapshots.record(found.layer.chain_id).parent != self._below():
                return None
        step.cached()
        return found

    def _make(self, step: Step, key: str, do: Callable[[Step], LayerRecord | None]) -> CachedStep:
        """Do a step, unless another stage or build is at it: then what that makes is waited for."""
        cancellation = self.solver.cancellation
        cancellation.check()
        with self.solver.cache.making(key, cancellation.lock):
            found = self._find(step, key) or self._import(step, key)
            if found is None:
                if self._runs > 1:
                    self.solver.engine.expect_starts()
                found = CachedStep(do(step), self.solver.options.moment)
                self.solver.cache.put(key, found)
                self.solver.made.add(key)
                step.done()
            return found

    def _import(self, step: Step, key: str) -> CachedStep | None:
        """A step that a build elsewhere has done; a cache that is damaged is told of, and the step done here."""
        solver = self.solver
        for source in solver.options.cache_from if self._use_cache else ():
            try:
                found = source.find(key, self._below(), solver.lease)
            except SandboxError as error:
                step.note_once(f"warning: {error.message}")
                continue
            if found is not None:
                solver.cache.put(key, found)
                step.cached()
                return found
        return None

    def _below(self) -> ChainID | None:
        return self.result.layers[-1].chain_id if self.result.layers else None

    def _name(self, text: str) -> str:
        place = f"{self._step}/{self._steps}"
        return f"[{self._title} {place}] {text}" if self._title else f"[{place}] {text}"


def _on_one_line(text: str) -> str:
    return " ".join(text.split())
