"""Documents and an event → Stages, ready for a runner.

Pure: the same document, event and number give the same Stages. Called by `ci-run local` and by the server, after lint
has found no errors; `CompileError` is left for what only the event can show (a `timeout: ${CI_COMMIT_BRANCH}` that is
no duration), with the same diagnostics as lint's.

The environment of a step, the later winning: the document's, the `CI_*` variables (and drone's), the matrix cell's, the
step's settings and its own. A secret and a plain value of one name: the one written nearer to the step wins.
"""

from __future__ import annotations

import posixpath
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from ci.errors import CiError
from ci.pipeline import conditions, graph, matrix, outputs, settings, substitution, values
from ci.pipeline.cloning import after_clone, clone
from ci.pipeline.compiling import additions, name_images, pieces
from ci.pipeline.document import DEFAULT_SHELL
from ci.pipeline.drone_variables import as_in_woodpecker, drone_step_variables, drone_variables
from ci.pipeline.expression import ExpressionError
from ci.pipeline.failure import OnFailure
from ci.pipeline.filling import FillError, filled
from ci.pipeline.glob import GlobError
from ci.pipeline.nodes import Scalar, Sequence
from ci.pipeline.source import NOWHERE
from ci.pipeline.spec import Device, StageSpec, StepSpec, Tmpfs, VolumeMount
from ci.pipeline.variables import present, step_variables, variables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from collections.abc import Sequence as Several

    from ci.pipeline.conditions import Outcome
    from ci.pipeline.document import Condition, Document, Mount, SecretUse, Step, Variable
    from ci.pipeline.event import Event
    from ci.pipeline.nodes import Node
    from ci.pipeline.source import Position, Text
    from ci.pipeline.spec import Piece

T = TypeVar("T")


class CompileError(CiError):
    """A value that is bad once the event is known; `code` and `position` are those of the diagnostic."""

    reference = "bad-pipeline"

    def __init__(self, position: Position, code: str, message: str, hint: str = "") -> None:
        place = f"line {position.line}, column {position.column}: " if position.line else ""
        super().__init__(place + message, hint=hint)
        self.position = position
        self.code = code


def compile_all(
    documents: Iterable[Document], event: Event, *, number: int = 1, machine: str = ""
) -> tuple[StageSpec, ...]:
    """The Stages of a whole build, numbered from 1.

    Who depends on a document that takes no part depends on what that one depended on.
    """
    documents = tuple(documents)
    stages: list[StageSpec] = []
    for document in documents:
        stages += compile(document, event, number=number, first=len(stages) + 1, machine=machine)
    present = {stage.name for stage in stages}
    dependencies = {document.title: tuple(text.value for text in document.depends_on) for document in documents}
    dependencies |= {stage.name: stage.depends_on for stage in stages}  # names may hold variables
    try:
        rewired = graph.without(dependencies, lambda name: name not in present)
    except ValueError as error:
        raise CiError(f"the documents wait for each other: {error}", reference="dependency-cycle") from None
    return tuple(_with_dependencies(stage, rewired[stage.name]) for stage in stages)


def compile(
    document: Document, event: Event, *, number: int = 1, first: int = 1, machine: str = ""
) -> tuple[StageSpec, ...]:
    """The Stages of one document: one for each matrix cell for which its `when` holds, so possibly none.

    `number` is the build's (CI_PIPELINE_NUMBER), `first` the number of the first Stage, `machine` the host's name where
    it is known. Raises CompileError; ValueError where the matrix is beyond its limit, which lint reports.
    """
    if document.matrix is not None and document.matrix.sources:
        planned = _planned(document, event, first)
        return (planned,) if planned else ()
    rules = document.rules
    stages: list[StageSpec] = []
    for cell in matrix.cells(document.matrix):
        number_here = first + len(stages)
        shared = variables(
            event,
            number=number,
            workflow=document.title,
            workflow_number=number_here,
            workspace="",
            machine=machine,
            system=rules.system,
            ci=rules.ci,
            event_names=rules.event_names,
        )
        drone = drone_variables(
            event,
            number=number,
            stage=document.title,
            stage_number=number_here,
            depends_on=[text.value for text in document.depends_on],
            machine=machine,
        )
        if rules.drone_environment:
            shared = {**shared, **drone}
        compiled = _Cell(_filled(document, shared, cell), event, cell, shared, drone).stage(number_here)
        if compiled:
            stages.append(compiled)
    return tuple(stages)


def _planned(document: Document, event: Event, number: int) -> StageSpec | None:
    """A Stage whose matrix is not known yet: all that can be said of it. Conditions are looked at when it is."""
    matrix = document.matrix
    if matrix is None or (
        document.when
        and not any(one.matrix or one.evaluate for one in document.when)
        and not conditions.evaluate(document.when, event, {}, values=document.rules.values, variables={})
    ):
        return None
    before = document.dependencies()

    def planned(step: Step, secrets: Several[SecretUse], depends_on: tuple[str, ...] = ()) -> StepSpec:
        return StepSpec(
            name=step.name.value,
            image="",
            secrets={use.variable.value: use.secret.value for use in (*secrets, *step.secrets)},
            depends_on=depends_on,
            privileged=step.privileged is not None,
            line=step.position.line,
        )

    steps = tuple(planned(step, document.secrets, before[step.name.value]) for step in document.steps)
    return StageSpec(
        name=document.title,
        number=number,
        steps=steps,
        services=tuple(planned(service, ()) for service in document.services),
        cells_from=tuple(dict.fromkeys(outputs.reference(text.value) for text in matrix.sources)),
        depends_on=tuple(text.value for text in document.depends_on),
        run_on_failure=any("failure" in _words(one) for one in document.when),
    )


def _words(condition: Condition) -> tuple[str, ...]:
    status = condition.filters.get("status")
    return tuple(text.value for text in status.include) if status else ()


def _filled(document: Document, shared: Mapping[str, str], cell: Mapping[str, str]) -> Document:
    """The document with the variables' values in it, where its dialect replaces them in the whole file."""
    if document.origin is None:
        return document
    from ci.pipeline.own_values import with_own_values  # noqa: PLC0415  (our own files need none of it)

    try:
        return filled(with_own_values(document, cell, shared), {**shared, **cell}, shared)
    except FillError as error:
        raise CompileError(error.text.position, "bad-substitution", error.message) from None


class _Cell:
    """One document at one matrix cell, being compiled. `drone` are the variables of drone's plugins."""

    def __init__(
        self,
        document: Document,
        event: Event,
        cell: Mapping[str, str],
        shared: Mapping[str, str],
        drone: Mapping[str, str],
    ) -> None:
        self.document = document
        self.rules = document.rules
        self.event = event
        self.cell = cell
        # The workspace is itself a variable, and may be written with the others.
        base, path = self._workspace({**shared, **cell})
        self.workspace = posixpath.join(base, path) if path else base
        own = {"CI_WORKSPACE": self.workspace}
        places = {"DRONE_WORKSPACE": self.workspace, "DRONE_WORKSPACE_BASE": base, "DRONE_WORKSPACE_PATH": path}
        self.drone = {**drone, **present(places)}
        if self.rules.drone_copies:
            self.drone = as_in_woodpecker(self.drone, shared)
        self.shared = {**shared, **own, **(self.drone if self.rules.drone_environment else {})}
        self.known = {**self.shared, **cell}  # what `${…}` may name outside of steps

    def _workspace(self, known: Mapping[str, str]) -> tuple[str, str]:
        """Where the project is, in two parts."""
        document, event = self.document, self.event
        host = event.remote_url.partition("://")[2].rpartition("@")[2].partition("/")[0].partition(":")[0]
        base, path = self.rules.base, self.rules.path.format(host=host or "local", repository=event.repository)
        if document.workspace:
            base = self._value(document.workspace, known, values.directory)
            path = path if self.rules.path else ""
        if document.workspace_path:
            path = self._value(document.workspace_path, known, values.relative).lstrip("/")
        return base, posixpath.normpath(path) if path else ""

    def stage(self, number: int) -> StageSpec | None:
        """The Stage, or None where its `when` does not hold."""
        document = self.document
        outcome = self._outcome(document.when, runs_on=document.runs_on)
        if not outcome:
            return None
        outcomes = {step.name.value: self._outcome(step.when) for step in document.steps}
        dependencies = self._dependencies(outcomes)
        steps = tuple(
            self._step(step, index, dependencies[step.name.value], outcomes[step.name.value])
            for index, step in enumerate(document.steps, 1)
            if outcomes[step.name.value]
        )
        services: tuple[StepSpec, ...] = ()
        cloning: tuple[StepSpec, ...] = ()
        if steps:
            cloning = self._cloning()
            services = tuple(
                self._service(service, index)
                for index, service in enumerate(document.services, 1)
                if self._outcome(service.when)
            )
        return StageSpec(
            name=document.title,
            number=number,
            matrix=dict(self.cell),
            steps=after_clone(cloning, name_images(steps)),
            services=services,
            skipped=tuple(name for name, wanted in outcomes.items() if not wanted),
            volumes=tuple(text.value for text in document.volumes),
            workspace=self.workspace,
            timeout=self._optional(document.timeout, self.known, values.duration),
            depends_on=tuple(text.value for text in document.depends_on),
            run_on_success=outcome.on_success,
            run_on_failure=outcome.on_failure,
            clone=clone(
                document.clone,
                self.rules,
                self.event,
                lambda text, read: self._value(text, self.known, read),
                tuple(step.name for step in cloning),
            ),
            concurrency=self._optional(document.concurrency, self.known, values.count),
            image_pull_secrets=tuple(text.value for text in document.image_pull_secrets),
            labels={label.name.value: self._value(label.value, self.known, values.label) for label in document.labels},
        )

    def _outcome(self, when: Several[Condition], runs_on: Several[Text] = ()) -> Outcome:
        """What a `when` says; for a document `runs_on` has the last word about the status."""
        try:
            outcome = conditions.evaluate(when, self.event, self.cell, values=self.rules.values, variables=self.known)
        except ExpressionError as error:
            position = next((one.evaluate.position for one in when if one.evaluate), NOWHERE)
            raise CompileError(position, "bad-expression", str(error)) from None
        except GlobError as error:
            raise CompileError(when[0].position, "bad-pattern", f"a pattern of the condition: {error}") from None
        if outcome and runs_on:
            wanted = {text.value for text in runs_on}
            return conditions.Outcome("success" in wanted, "failure" in wanted)
        return outcome

    def _dependencies(self, outcomes: Mapping[str, Outcome]) -> dict[str, tuple[str, ...]]:
        """What each step that runs waits for:

        as written, or the step before it; over the skipped ones to those behind them.
        """
        try:
            return graph.without(self.document.dependencies(), lambda name: not outcomes[name])
        except ValueError as error:
            raise CompileError(self.document.position, "dependency-cycle", f"a cycle of steps: {error}") from None

    def _step(self, step: Step, index: int, depends_on: tuple[str, ...], outcome: Outcome) -> StepSpec:
        kind = "plugin" if self._is_plugin(step) else "commands"
        return replace(
            self._container(step, index, kind, self.document.secrets),
            outputs={use.variable.value: outputs.reference(use.output.value) for use in step.outputs},
            depends_on=depends_on,
            run_on_success=outcome.on_success,
            run_on_failure=outcome.on_failure,
            failure=self._optional(step.failure, self.known, values.on_failure) or OnFailure.FAIL,
            retries=self._optional(step.retries, self.known, values.retries) or 0,
        )

    def _cloning(self) -> tuple[StepSpec, ...]:
        """The steps that clone, one after the other; the document's own image and secrets are for the other steps."""
        use = self.document.clone
        if self._flag(use.disable, self.known):
            return ()
        return tuple(
            replace(
                self._container(step, 0, "clone", ()),
                detach=False,
                failure=OnFailure.FAST,  # without the project nothing else is to run
                retries=self._optional(step.retries, self.known, values.retries) or 0,
            )
            for step in use.steps
            if self._outcome(step.when)
        )

    def _is_plugin(self, step: Step) -> bool:
        """Whether it does what its image does: without commands, and, for Woodpecker, without a word to change that."""
        if step.commands:
            return False
        return not (self.rules.plugins_are_plain and (step.entrypoint or step.environment))

    def _service(self, service: Step, index: int) -> StepSpec:
        # The document's secrets are for its steps: a service gets those that it names itself.
        return replace(self._container(service, index, "service", ()), must_be_ready=self.rules.must_be_ready)

    def _own_variables(self, name: str, index: int, kind: str) -> dict[str, str]:
        """The variables of one container; plugins know those of drone everywhere."""
        own = step_variables(name, index, kind)
        if kind in {"plugin", "clone"} or self.rules.drone_environment:
            own |= {**self.drone, **drone_step_variables(name, index)}
        return own

    def _container(self, step: Step, index: int, kind: str, secrets: Several[SecretUse]) -> StepSpec:
        own = self._own_variables(step.name.value, index, kind)
        known = {**self.known, **own}
        image = step.image if kind in {"service", "clone"} else step.image or self.document.image
        if image is None and step.build is None:
            raise CompileError(step.position, "missing-image", f'"{step.name.value}" has no image')
        environment = self._environment(self.document.environment, known)
        environment |= {**self.shared, **own, **self.cell}
        composed: dict[str, tuple[Piece, ...]] = {}
        for setting in step.settings:
            node = self._expanded(setting.value, known)
            if self.rules.inner_secrets and any(settings.inner_secrets(node)):
                composed[setting.variable.value] = pieces(node)
                environment.pop(setting.variable.value, None)
            elif not self.rules.lenient or not settings.is_nothing(node):
                environment[setting.variable.value] = settings.encode(node)
        used = {use.variable.value: use.secret.value for use in secrets}
        for variable, value in self._environment(step.environment, known).items():
            environment[variable] = value
            used.pop(variable, None)
            composed.pop(variable, None)
        used |= {use.variable.value: use.secret.value for use in step.secrets}
        return StepSpec(
            name=step.name.value,
            image=self._value(image, known, values.image) if image and step.build is None else "",
            commands=tuple(text.value for text in step.commands),
            entrypoint=() if step.commands else tuple(self._value(text, known, str) for text in step.entrypoint),
            arguments=() if step.commands else tuple(self._value(text, known, str) for text in step.arguments),
            shell=self._value(step.shell, known, values.shell) if step.shell else DEFAULT_SHELL,
            environment={name: value for name, value in environment.items() if name not in used},
            secrets=used,
            composed=composed,
            timeout=self._optional(step.timeout, known, values.duration),
            artifacts=tuple(self._value(text, known, values.artifact) for text in step.artifacts),
            working_dir=self._working_dir(step.working_dir, known),
            user=self._value(step.user, known, values.user) if step.user else "",
            privileged=self._flag(step.privileged, known),
            volumes=tuple(self._mount(mount, known) for mount in step.volumes),
            memory=self._optional(step.memory, known, values.memory),
            cpus=self._optional(step.cpus, known, values.cpus),
            ports=tuple(self._value(text, known, values.port) for text in step.ports),
            detach=self._flag(step.detach, known),
            pull=self._optional(step.pull, known, values.pull) or "",
            network_mode=self._value(step.network_mode, known, values.network_mode) if step.network_mode else "",
            extra_hosts=tuple(self._value(text, known, values.extra_host) for text in step.extra_hosts),
            dns=tuple(self._value(text, known, values.address) for text in step.dns),
            dns_search=tuple(self._value(text, known, str) for text in step.dns_search),
            devices=tuple(
                Device(
                    source=self._value(device.source, known, values.device),
                    target=self._value(device.target, known, values.device),
                )
                for device in step.devices
            ),
            tmpfs=tuple(self._tmpfs(text, known) for text in step.tmpfs),
            shm_size=self._optional(step.shm_size, known, values.size),
            memory_swap=self._optional(step.memory_swap, known, values.size),
            line=step.position.line,
            **additions(step, lambda text, read: self._value(text, known, read)),
        )

    def _environment(self, written: Several[Variable], known: Mapping[str, str]) -> dict[str, str]:
        return {variable.name.value: self._value(variable.value, known, str) for variable in written}

    def _expanded(self, node: Node, known: Mapping[str, str]) -> Node:
        """A setting with the variables' values in it."""
        if isinstance(node, Scalar):
            return node._replace(value=self._value(node.text, known, str)) if "$" in node.value else node
        if isinstance(node, Sequence):
            return node._replace(items=tuple(self._expanded(item, known) for item in node.items))
        entries = (entry._replace(value=self._expanded(entry.value, known)) for entry in node.entries)
        return node._replace(entries=tuple(entries))

    def _working_dir(self, text: Text | None, known: Mapping[str, str]) -> str:
        if text is None:
            return ""
        return posixpath.normpath(posixpath.join(self.workspace, self._value(text, known, values.relative)))

    def _mount(self, mount: Mount, known: Mapping[str, str]) -> VolumeMount:
        return VolumeMount(
            name=mount.name.value if mount.name else "",
            host=self._value(mount.host, known, values.host_path) if mount.host else "",
            target=self._value(mount.target, known, lambda text: values.directory(text, "bad-volume")),
            read_only=mount.read_only,
        )

    def _tmpfs(self, text: Text, known: Mapping[str, str]) -> Tmpfs:
        target, options = self._value(text, known, values.tmpfs)
        return Tmpfs(target=target, options=options)

    def _flag(self, text: Text | None, known: Mapping[str, str]) -> bool:
        return self._optional(text, known, values.flag) or False

    def _optional(self, text: Text | None, known: Mapping[str, str], read: Callable[[str], T]) -> T | None:
        return None if text is None else self._value(text, known, read)

    def _value(self, text: Text, known: Mapping[str, str], read: Callable[[str], T]) -> T:
        """What was written, with the variables' values in it, as a typed value."""
        try:
            return read(text.value if self.rules.whole_file else substitution.expand(text.value, known.get))
        except substitution.SubstitutionError as error:
            raise CompileError(text.position, "bad-substitution", error.message) from None
        except values.BadValue as error:
            raise CompileError(text.position, error.code, error.message, error.hint) from None


def _with_dependencies(stage: StageSpec, depends_on: tuple[str, ...]) -> StageSpec:
    return stage if stage.depends_on == depends_on else replace(stage, depends_on=depends_on)
