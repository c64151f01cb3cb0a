"""Files of drone and Woodpecker → our own dialect, and a list of what could not be taken over.

Pure, called by `ci-run convert`. Works on the documents as they were read, so it knows each dialect only by its rules.
What is said in another way is rewritten: `${…}` in commands becomes the shell's, drone's variables and events get our
names, names of steps that are not allowed here are changed. What has no counterpart is left out, and noted with its
line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ci.pipeline import envsubst, values
from ci.pipeline.cloning import SETTINGS
from ci.pipeline.dialects.hako import CLONE_STEP_KEYS
from ci.pipeline.document import Filter
from ci.pipeline.event import Event, EventKind
from ci.pipeline.matrix import cells
from ci.pipeline.nodes import Kind, Mapping, Scalar
from ci.pipeline.substitution import SubstitutionError
from ci.pipeline.writing import write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ci.pipeline.document import Condition, Document, SecretUse, Step, Variable
    from ci.pipeline.nodes import Node
    from ci.pipeline.source import Position, Text

# drone's variables that are called otherwise here; with "COMMIT" and so on in common the rest is found by the name.
_VARIABLES = {
    "DRONE_BRANCH": "CI_COMMIT_BRANCH",
    "DRONE_BUILD_CREATED": "CI_PIPELINE_CREATED",
    "DRONE_BUILD_EVENT": "CI_PIPELINE_EVENT",
    "DRONE_BUILD_LINK": "CI_PIPELINE_URL",
    "DRONE_BUILD_NUMBER": "CI_PIPELINE_NUMBER",
    "DRONE_BUILD_PARENT": "CI_PIPELINE_PARENT",
    "DRONE_BUILD_STATUS": "CI_PIPELINE_STATUS",
    "DRONE_COMMIT": "CI_COMMIT_SHA",
    "DRONE_COMMIT_AFTER": "CI_COMMIT_SHA",
    "DRONE_COMMIT_AUTHOR": "CI_COMMIT_AUTHOR",
    "DRONE_COMMIT_AUTHOR_EMAIL": "CI_COMMIT_AUTHOR_EMAIL",
    "DRONE_COMMIT_AUTHOR_NAME": "CI_COMMIT_AUTHOR",
    "DRONE_COMMIT_BRANCH": "CI_COMMIT_BRANCH",
    "DRONE_COMMIT_LINK": "CI_COMMIT_URL",
    "DRONE_COMMIT_MESSAGE": "CI_COMMIT_MESSAGE",
    "DRONE_COMMIT_REF": "CI_COMMIT_REF",
    "DRONE_COMMIT_SHA": "CI_COMMIT_SHA",
    "DRONE_DEPLOY_TO": "CI_PIPELINE_DEPLOY_TARGET",
    "DRONE_GIT_HTTP_URL": "CI_REPO_CLONE_URL",
    "DRONE_GIT_SSH_URL": "CI_REPO_CLONE_SSH_URL",
    "DRONE_PULL_REQUEST": "CI_COMMIT_PULL_REQUEST",
    "DRONE_REMOTE_URL": "CI_REPO_CLONE_URL",
    "DRONE_REPO": "CI_REPO",
    "DRONE_REPO_BRANCH": "CI_REPO_DEFAULT_BRANCH",
    "DRONE_REPO_LINK": "CI_REPO_URL",
    "DRONE_REPO_NAME": "CI_REPO_NAME",
    "DRONE_REPO_NAMESPACE": "CI_REPO_OWNER",
    "DRONE_REPO_OWNER": "CI_REPO_OWNER",
    "DRONE_SOURCE_BRANCH": "CI_COMMIT_SOURCE_BRANCH",
    "DRONE_STAGE_NAME": "CI_WORKFLOW_NAME",
    "DRONE_STEP_NAME": "CI_STEP_NAME",
    "DRONE_SYSTEM_HOST": "CI_SYSTEM_HOST",
    "DRONE_TAG": "CI_COMMIT_TAG",
    "DRONE_TARGET_BRANCH": "CI_COMMIT_BRANCH",
    "DRONE_WORKSPACE": "CI_WORKSPACE",
}
_DRONE = re.compile(r"\bDRONE_[A-Z_]+\b")
# The operators that every shell of POSIX has (XCU 2.6.2); others want bash.
_PORTABLE = frozenset((":-", ":=", "-", "=", "#", "##", "%", "%%", "length", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """The new file, and what a person has to look at: pairs of a line of the old file and a sentence."""

    text: str
    notes: tuple[tuple[int, str], ...]


def convert(documents: Iterable[Document]) -> Converted:
    """The documents as a file of our dialect."""
    converters = [_Converter(document) for document in documents]
    texts = [write(converter.document()) for converter in converters]
    notes = sorted({note for converter in converters for note in converter.notes})
    return Converted(text="---\n".join(texts), notes=tuple(notes))


class _Converter:
    """Converts one document."""

    def __init__(self, document: Document) -> None:
        self.old = document
        self.notes: set[tuple[int, str]] = set()
        # Words that are events of ours, too, stay: drone's "tag" is no release.
        known = [kind.value for kind in EventKind]
        names = document.rules.event_names
        self.events = {name: kind.value for kind, name in names.items() if name not in known}
        # In drone a tag is on a branch of its own name, which no pattern of branches means.
        branch = document.rules.values["branch"](Event(kind=EventKind.TAG, tag="v1"))
        self.tags_have_branches = branch is not None
        self.axes = frozenset(name for cell in cells(document.matrix) for name in cell)
        steps = (*document.clone.steps, *document.steps)
        self.names = {step.name.value: _name(step.name.value, values.step_name) for step in steps}

    def note(self, position: Position, sentence: str) -> None:
        """Something to look at."""
        self.notes.add((position.line, sentence))

    def document(self) -> dict[str, Any]:
        """The document as plain values, in the order in which they are written."""
        old = self.old
        for text in old.image_pull_secrets:
            self.note(text.position, f"the pull secret {text.value} is not taken over")
        workspace = [text.value for text in (old.workspace, old.workspace_path) if text]
        return _present(
            {
                "name": _name(old.name.value, values.step_name) if old.name else "",
                "when": self._when(old.when, [text.value for text in old.runs_on]),
                "depends_on": [_name(text.value, values.step_name) for text in old.depends_on],
                "labels": {one.name.value: self._value(one.value) for one in old.labels},
                "workspace": "/".join(workspace),
                "clone": self._clone(),
                "concurrency": self._optional(old.concurrency),
                "matrix": self._matrix(),
                "environment": self._environment(old.environment, old.secrets),
                "volumes": [text.value for text in old.volumes],
                "services": [self._container(service, service=True) for service in old.services],
                "steps": [self._container(step, service=False) for step in old.steps],
            }
        )

    def _clone(self) -> dict[str, Any]:
        """The settings, with those that the dialect has by itself; nothing where the file says nothing of them."""
        old, rules = self.old.clone, self.old.rules
        if old.disable is not None:
            return {"disable": self._flag(old.disable)}
        if old.steps:
            return self._clone_step(old.steps)
        for one in old.settings:
            if one.name.value not in SETTINGS:
                self.note(one.value.position, "the addresses of submodules are not taken over")
        written = {one.name.value: self._value(one.value) for one in old.settings if one.name.value in SETTINGS}
        if not written:
            return {}
        found: dict[str, Any] = {"tags": False, "partial": True} if rules.clones_one_commit else dict(rules.clone)
        return found | written

    def _clone_step(self, steps: tuple[Step, ...]) -> dict[str, Any]:
        """The first of those that clone; there is room for one."""
        for step in steps[1:]:
            self.note(step.position, f'the clone step "{step.name.value}" is not taken over: a clone has one image')
        if steps[0].when:
            self.note(steps[0].when[0].position, "the conditions of the clone step are not taken over")
        found = self._container(steps[0], service=False)
        return {key: value for key, value in found.items() if key in CLONE_STEP_KEYS}

    def _matrix(self) -> dict[str, Any]:
        matrix = self.old.matrix
        if matrix is None:
            return {}
        axes: dict[str, Any] = {axis.name.value: [text.value for text in axis.values] for axis in matrix.axes}
        include = [{one.name.value: one.value.value for one in cell} for cell in matrix.include]
        return axes | ({"include": include} if include else {})

    def _container(self, step: Step, *, service: bool) -> dict[str, Any]:
        name = _name(step.name.value, values.service_name) if service else self.names[step.name.value]
        if name != step.name.value:
            self.note(step.position, f'"{step.name.value}" is called "{name}"')
        depends_on = (
            None if step.depends_on is None else [self.names.get(one.value, one.value) for one in step.depends_on]
        )
        parts = {
            "name": name,
            "image": self._optional(step.image),
            "detach": self._flag(step.detach),
            "privileged": self._flag(step.privileged),
            "pull": self._word(step.pull, values.pull),
            "user": self._optional(step.user),
            "directory": self._optional(step.working_dir),
            "shell": self._shell(step),
            "entrypoint": [self._value(text) for text in (*step.entrypoint, *step.arguments)],
            "commands": [self._command(text) for text in step.commands],
            "settings": self._settings(step),
            "environment": self._environment(
                step.environment, [use for use in step.secrets if not use.variable.value.startswith("PLUGIN_")]
            ),
            "volumes": [_mount(mount) for mount in step.volumes],
            "devices": [f"{device.source.value}:{device.target.value}" for device in step.devices],
            "tmpfs": [text.value for text in step.tmpfs],
            "network_mode": self._optional(step.network_mode),
            "extra_hosts": [text.value for text in step.extra_hosts],
            "dns": [text.value for text in step.dns],
            "dns_search": [text.value for text in step.dns_search],
            "memory": self._optional(step.memory),
            "shm_size": self._optional(step.shm_size),
            "failure": self._word(step.failure, lambda text: values.on_failure(text).value.removeprefix("fail")),
            "ports": [self._value(text) for text in step.ports] if service else [],
            "when": self._when(step.when),
        }
        if step.arguments and not step.entrypoint:
            self.note(step.position, f"{name}: its command needs the image's entrypoint before it in entrypoint")
        if step.memory_swap:
            self.note(step.memory_swap.position, f"{name}: memswap_limit is not taken over")
        found = _present(parts)
        return found if depends_on is None else found | {"depends_on": depends_on}

    def _flag(self, text: Text | None) -> bool | str:
        """Whether, or the variable that says it."""
        return self._value(text) if text and "$" in text.value else text is not None

    def _word(self, text: Text | None, read: Callable[[str], str]) -> str:
        """One of our words, or the variable that says it."""
        return self._value(text) if text and "$" in text.value else read(text.value) if text else ""

    def _shell(self, step: Step) -> str:
        """The shell, bash where a command needs it."""
        if step.shell:
            return step.shell.value
        operators = {one.operator for text in step.commands for one in self._parameters(text)}
        if operators <= _PORTABLE:
            return ""
        self.note(step.position, f"{step.name.value}: its commands want bash now; the image must have it")
        return "bash"

    def _settings(self, step: Step) -> dict[str, Any]:
        settings = {_setting(one.variable.value): self._plain(one.value) for one in step.settings}
        secrets = [use for use in step.secrets if use.variable.value.startswith("PLUGIN_")]
        return settings | {_setting(use.variable.value): {"from_secret": use.secret.value} for use in secrets}

    def _plain(self, node: Node) -> Any:
        if isinstance(node, Scalar):
            if node.kind is Kind.BOOLEAN:
                return node.value.lower() == "true"
            return self._value(node.text)
        if isinstance(node, Mapping):
            return {entry.key.value: self._plain(entry.value) for entry in node.entries}
        return [self._plain(item) for item in node.items]

    def _environment(self, plain: Iterable[Variable], secrets: Iterable[SecretUse]) -> dict[str, Any]:
        found: dict[str, Any] = {one.name.value: self._value(one.value) for one in plain}
        return found | {use.variable.value: {"from_secret": use.secret.value} for use in secrets}

    # Conditions

    def _when(self, conditions: Iterable[Condition], runs_on: list[str] | None = None) -> Any:
        found = []
        for condition in conditions:
            parts: dict[str, Any] = {}
            for fact, patterns in condition.filters.items():
                if fact == "local":
                    self.note(patterns.position, "the condition local is not taken over")
                else:
                    parts[fact] = self._patterns(fact, patterns)
            if "branch" in condition.filters and self.tags_have_branches:
                parts["event"] = self._without_tags(condition, parts.get("event"))
            if condition.matrix:
                parts["matrix"] = {axis: self._patterns(axis, one) for axis, one in condition.matrix.items()}
            if condition.evaluate:
                parts["evaluate"] = _DRONE.sub(self._renamed, condition.evaluate.value)
            found.append(parts | ({"status": runs_on} if runs_on else {}))
        if runs_on and not found:
            found = [{"status": runs_on}]
        found = [one for one in found if one]
        return found[0] if len(found) == 1 else found

    def _without_tags(self, condition: Condition, event: Any) -> Any:
        """The events of a condition on branches: those of tags are not among them."""
        tags = [kind.value for kind in EventKind if kind.of_tag]
        if condition.filters.get("event", Filter()).include:
            return event
        return {"exclude": [*(event["exclude"] if event else ()), *tags]}

    def _patterns(self, fact: str, patterns: Filter) -> Any:
        include, exclude = (
            [self._pattern(fact, one) for one in texts] for texts in (patterns.include, patterns.exclude)
        )
        more = {"ignore_message": patterns.ignore_message.value} if patterns.ignore_message else {}
        if not exclude and not more and patterns.on_empty:
            return include[0] if len(include) == 1 else include
        parts: dict[str, Any] = {"include": include, "exclude": exclude, **more}
        return _present(parts) | ({} if patterns.on_empty else {"on_empty": False})

    def _pattern(self, fact: str, text: Text) -> str:
        if "${" in text.value:
            self.note(text.position, f"{text.value}: a condition holds no variables here")
        return self.events.get(text.value, text.value) if fact == "event" else text.value

    # Variables

    def _optional(self, text: Text | None) -> str:
        return self._value(text) if text else ""

    def _value(self, text: Text) -> str:
        """A value: only ${NAME} is replaced in one."""
        for one in self._parameters(text):
            if one.operator:
                written = text.value[one.start : one.end]
                self.note(text.position, f"{written}: only ${{NAME}} is replaced in a value here")
        return _DRONE.sub(self._renamed, text.value)

    def _command(self, text: Text) -> str:
        """A command: what was replaced before is the shell's now, which has the same variables."""
        for one in self._parameters(text):
            if one.name not in self.old.rules.variables and one.name not in self.axes:
                system = self.old.rules.dialect
                message = f"${{{one.name}}} has no value when {system} reads the file; here it is the shell's variable"
                self.note(text.position, message)
        return _DRONE.sub(self._renamed, text.value).replace("$$", "$")

    def _parameters(self, text: Text) -> tuple[envsubst.Parameter, ...]:
        try:
            return envsubst.parameters(text.value)
        except SubstitutionError as error:
            self.note(text.position, error.message)
            return ()

    def _renamed(self, match: re.Match[str]) -> str:
        if match[0] not in _VARIABLES:
            self.note(self.old.position, f"{match[0]} has no counterpart: it is empty, except in plugins")
        return _VARIABLES.get(match[0], match[0])


def _present(parts: dict[str, Any]) -> dict[str, Any]:
    """What there is to say."""
    return {key: value for key, value in parts.items() if value not in ("", False, None, [], {})}


def _name(text: str, read: Callable[[str], str]) -> str:
    """A name that is allowed."""
    try:
        return read(text)
    except values.BadValue:
        lower = text.lower() if read is values.service_name else text
        return re.sub(r"[^A-Za-z0-9_.-]+", "-", lower).strip("-._")[:63] or "step"


def _setting(variable: str) -> str:
    return variable.removeprefix("PLUGIN_").lower()


def _mount(mount: Any) -> str:
    source = mount.host.value if mount.host else mount.name.value
    return f"{source}:{mount.target.value}{':ro' if mount.read_only else ''}"
