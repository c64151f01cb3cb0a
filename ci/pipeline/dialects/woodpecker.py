"""`.woodpecker.yml` and the files of `.woodpecker`: Woodpecker's keys of 0.15 to 3.x, and how they become a Document.

The tables are what Woodpecker's own parser knows; what it passes over is a warning here. What newer versions have taken
away (`pipeline:`, `secrets:`, `group:`, `branches:`, `platform:`, `runs_on:`) is still read, with a notice.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ci.pipeline.cloning import ALL_SETTINGS, WOODPECKER_IGNORED, WOODPECKER_NAMES
from ci.pipeline.containers import Containers
from ci.pipeline.document import CloneUse, Condition, Document, SecretUse, Step, Variable
from ci.pipeline.edits import Edit, environment_of, nested
from ci.pipeline.nodes import Mapping, Scalar, Sequence
from ci.pipeline.options import plugin_variable
from ci.pipeline.rules import WOODPECKER
from ci.pipeline.settings import encode
from ci.pipeline.source import NOWHERE, Text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Mapping as Map
    from collections.abc import Sequence as Several

    from ci.pipeline.diagnostics import Report
    from ci.pipeline.nodes import Node
    from ci.pipeline.reading import Keys
    from ci.pipeline.rules import Rules

CONTAINER_KEYS = (
    "name",
    "image",
    "backend_options",
    "commands",
    "detach",
    "devices",
    "directory",
    "dns",
    "dns_search",
    "entrypoint",
    "environment",
    "extra_hosts",
    "network_mode",
    "ports",
    "privileged",
    "pull",
    "secrets",
    "settings",
    "tmpfs",
    "volumes",
    "when",
)
STEP_KEYS = (*CONTAINER_KEYS, "depends_on", "failure", "group")
SERVICE_KEYS = (*CONTAINER_KEYS, "depends_on", "failure")
DOCUMENT_KEYS = (
    "branches",
    "clone",
    "concurrency",
    "depends_on",
    "labels",
    "matrix",
    "pipeline",
    "platform",
    "runs_on",
    "services",
    "skip_clone",
    "steps",
    "variables",
    "version",
    "when",
    "workspace",
)
WHEN_KEYS = (
    "branch",
    "cron",
    "evaluate",
    "event",
    "instance",
    "local",
    "matrix",
    "path",
    "platform",
    "ref",
    "repo",
    "status",
    "tag",
)
WORKSPACE_KEYS = ("base", "path")
BACKENDS = ("docker", "kubernetes", "local")

_CLONES = re.compile(r"(?:^|/)(?:plugin-git|drone-git|git)(?:[:@]|$)")  # images whose work the runner does
_FAILURE = ("fail", "ignore", "cancel")
_SYNONYMS = {"script": "commands", "env": "environment", "working_dir": "directory", "needs": "depends_on"}


def read(nodes: Several[Node], report: Report, filename: str) -> tuple[Document, ...]:
    """The workflow of a file, named after it; Woodpecker reads the first document only."""
    for node in nodes[1:]:
        message = "Woodpecker reads the first document of a file only, and passes over this one"
        report.warning("not-honoured", node.position, message, "a folder .woodpecker has a file for each workflow")
    document = _Woodpecker(report, WOODPECKER).document(nodes[0], _title(filename)) if nodes else None
    return (document,) if document else ()


def _title(filename: str) -> str:
    """A workflow's name: its file's, without the ending and a dot before it."""
    return filename.rpartition("/")[2].rpartition(".")[0].removeprefix(".")


class _Woodpecker(Containers):
    """Reads a workflow, its steps and its services."""

    synonyms = _SYNONYMS
    nameless = "step-"

    def __init__(self, report: Report, rules: Rules) -> None:
        super().__init__(report, rules)
        self.groups: dict[str, str] = {}  # by the step's name

    def container_keys(self, word: str) -> tuple[str, ...]:
        return {"step": STEP_KEYS, "service": SERVICE_KEYS, "clone": CONTAINER_KEYS}[word]

    def document(self, node: Node, name: str) -> Document | None:
        """The document; None where it is none."""
        if not isinstance(node, Mapping):
            hint = 'begin with "steps:", and a list below it'
            self.report.error("not-a-mapping", node.position, "the file is not a map of keys and values", hint)
            return None
        keys = self.keys(node, "the workflow", DOCUMENT_KEYS)
        if keys is None:
            return None
        self._old_document_keys(keys)
        if "steps" not in keys and "pipeline" not in keys:
            hint = 'write "steps:", and a list below it'
            self.report.error("missing-key", node.position, "the workflow has no steps", hint)
        steps = self.containers(keys, "steps" if "steps" in keys else "pipeline")
        services = tuple(self._service(service) for service in self.containers(keys, "services"))
        workspace = self._inner(keys, "workspace", WORKSPACE_KEYS)
        clone = self._clone(keys)
        return Document(
            name=Text(name),
            steps=_grouped(steps, self.groups),
            services=services,
            when=self._when(keys),
            depends_on=self.texts(keys, "depends_on"),
            matrix=self.matrix(keys, "matrix"),
            volumes=self._volumes((*clone.steps, *steps, *services)),
            workspace=self.text(workspace, "base") if workspace else None,
            workspace_path=self.text(workspace, "path") if workspace else None,
            labels=(*self.environment(keys, "labels")[0], *self._platform(keys)),
            runs_on=self.texts(keys, "runs_on"),
            clone=clone,
            concurrency=self._limit(keys),
            rules=WOODPECKER,
            position=node.position,
        )

    def _old_document_keys(self, keys: Keys) -> None:
        """Those of older versions, with what stands for them now where it is the same in other words."""
        lines = self.report.source.lines
        if "pipeline" in keys:
            new_name = Edit(keys.position_of("pipeline"), "steps") if "steps" not in keys else None
            self._old(keys, "pipeline", '"steps"', new_name)
        for old, outer, inner in (("branches", "when", "branch"), ("platform", "labels", "platform")):
            if old in keys:
                fix = nested(lines, keys.entries[old], outer, inner) if outer not in keys else None
                self._old(keys, old, f'"{outer}"', fix)
        self._old(keys, "runs_on", '"when"')

    def _old(self, keys: Keys, key: str, new: str, fix: Edit | None = None) -> None:
        if key in keys:
            message = f'"{key}" is not read by newer versions of Woodpecker'
            self.report.info("deprecated-key", keys.position_of(key), message, f"write {new}", fix)

    def _inner(self, keys: Keys, key: str, known: Iterable[str]) -> Keys | None:
        node = self.get(keys, key)
        return self.keys(node, f'"{key}"', known) if node else None

    def _limit(self, keys: Keys) -> Text | None:
        node = self.get(keys, "concurrency")
        if isinstance(node, Scalar):
            return node.text
        found = self._inner(keys, "concurrency", ("limit", "group"))
        return self.text(found, "limit") if found else None

    def _platform(self, keys: Keys) -> tuple[Variable, ...]:
        platform = self.text(keys, "platform")
        return (Variable(name=Text("platform", platform.position), value=platform),) if platform else ()

    def _volumes(self, steps: Iterable[Step]) -> tuple[Text, ...]:
        """The volumes that steps name: nothing declares them."""
        volumes: dict[str, Text] = {}
        for mount in (mount for step in steps for mount in step.volumes):
            if mount.name and mount.name.value not in volumes:
                message = f'the volume "{mount.name.value}" is empty at the start of every run'
                self.report.warning("not-honoured", mount.name.position, message, "docker keeps one between runs")
                volumes[mount.name.value] = mount.name
        return tuple(volumes.values())

    # Conditions

    def _when(self, keys: Keys) -> tuple[Condition, ...]:
        """The workflow's `when`, and `branches` of older versions. The matrix is no matter of a workflow's."""
        conditions = tuple(replace(one, matrix={}) for one in self.when(keys, "when", WHEN_KEYS))
        node = self.get(keys, "branches")
        if node is None or conditions:
            return conditions
        patterns = self.patterns(node, '"branches"', keys.position_of("branches"))
        if patterns is None:
            return ()
        return (Condition(filters={"branch": patterns}, matrix={}, position=patterns.position),)

    # Clone

    def _clone(self, keys: Keys) -> CloneUse:
        """`skip_clone`, and the settings of the clone step; the steps themselves where one has another image."""
        skip = self.switch(keys, "skip_clone")
        node = self.get(keys, "clone")
        if node is None:
            return CloneUse(disable=skip)
        items: list[Node] = list(node.items) if isinstance(node, Sequence) else []
        if isinstance(node, Mapping):
            items = [entry.value for entry in node.entries]
        elif not isinstance(node, Sequence):
            self.wrong(node, '"clone"', "a list of steps, or a map of names to steps")
        if any(_has_own_image(item) for item in items):
            return CloneUse(disable=skip, steps=self.containers(keys, "clone"), position=keys.position_of("clone"))
        settings: dict[str, Variable] = {}
        for item in items:
            settings |= self._clone_step(item)
        return CloneUse(disable=skip, settings=tuple(settings.values()), position=keys.position_of("clone"))

    def _clone_step(self, item: Node) -> dict[str, Variable]:
        """What one of the steps has for the plugin, whose work the runner does."""
        found = self.keys(item, "a clone step", CONTAINER_KEYS)
        if found is None:
            return {}
        settings: dict[str, Variable] = {}
        for one in self.settings(found, "settings", str):
            name = one.variable.value.replace("-", "_")
            name = WOODPECKER_NAMES.get(name, name)
            if name in ALL_SETTINGS:
                settings[name] = Variable(Text(name), Text(encode(one.value), one.value.position))
            elif name not in WOODPECKER_IGNORED:
                message = f'"{one.variable.value}" changes nothing in how the project is fetched here'
                self.report.warning("not-honoured", one.variable.position, message)
        return settings

    # Steps

    def container(self, keys: Keys, name: Text) -> Step:
        environment, from_secret = self.environment(keys, "environment")
        old_secrets = tuple(_in_capitals(use) for use in self.secrets(keys, "secrets"))
        fix = None
        # A step that merges this one would lose the secrets by an environment of its own.
        if old_secrets and "environment" not in keys and "<<" not in self.report.source.text:
            fix = environment_of(self.report.source.lines, keys.entries["secrets"], old_secrets)
        self._old(keys, "secrets", '"from_secret" in "environment"', fix)
        self._old(keys, "group", '"depends_on"')
        if group := self.text(keys, "group"):
            self.groups[name.value] = group.value
        names, optional = self._depends_on(keys)
        return Step(
            name=name,
            image=self.text(keys, "image"),
            commands=self.commands(keys),
            entrypoint=self.texts(keys, "entrypoint"),
            environment=environment,
            secrets=(
                *old_secrets,
                *from_secret,
                *self.setting_secrets(keys, "settings", plugin_variable),
            ),
            when=self.when(keys, "when", WHEN_KEYS),
            depends_on=names if "depends_on" in keys else None,
            optional=optional,
            failure=self.word(keys, "failure", _FAILURE),
            working_dir=self.text(keys, "directory"),
            user=self._user(keys),
            privileged=self.switch(keys, "privileged"),
            volumes=self.mounts(keys, "volumes"),
            pull=self.switch(keys, "pull"),
            ports=self._ports(keys),
            **self.options(keys, plugin_variable),
            position=name.position if name.position != NOWHERE else keys.position,
        )

    def _service(self, service: Step) -> Step:
        """A service is started first; what would make it wait means nothing."""
        return replace(service, depends_on=None, optional=())

    def _ports(self, keys: Keys) -> tuple[Text, ...]:
        """Numbers, of TCP or with the protocol behind a slash; those that can be waited for."""
        found: list[Text] = []
        for text in self.texts(keys, "ports"):
            number, _, protocol = text.value.partition("/")
            if protocol.lower() == "udp":
                message = f'nobody waits for "{text.value}": only a port of TCP shows that it is open'
                self.report.warning("not-honoured", text.position, message)
            else:
                found.append(text.part(0, len(number)) if protocol.lower() == "tcp" else text)
        return tuple(found)

    def _user(self, keys: Keys) -> Text | None:
        """The user that `backend_options` name for docker; the other back ends' are theirs."""
        options = self._inner(keys, "backend_options", BACKENDS)
        docker = self._inner(options, "docker", ("user",)) if options else None
        return self.text(docker, "user") if docker else None

    def _depends_on(self, keys: Keys) -> tuple[tuple[Text, ...], tuple[Text, ...]]:
        """Names, or maps of `name` and `optional`: all names, and the optional ones."""
        node = self.get(keys, "depends_on")
        names: list[Text] = []
        optional: list[Text] = []
        for item in node.items if isinstance(node, Sequence) else (node,) if node else ():
            if not isinstance(item, Mapping):
                names += self.items(item, '"depends_on"')
                continue
            found = self.keys(item, "a dependency", ("name", "optional"))
            name = self.text(found, "name") if found else None
            if found and name:
                names.append(name)
                if self.flag(found, "optional"):
                    optional.append(name)
        return tuple(names), tuple(optional)


def _has_own_image(item: Node) -> bool:
    """Whether a clone step does more than the plugin that the runner stands for."""
    entries = item.entries if isinstance(item, Mapping) else ()
    images = (entry.value for entry in entries if entry.key.value == "image")
    return any(isinstance(image, Scalar) and not _CLONES.search(image.value) for image in images)


def _in_capitals(use: SecretUse) -> SecretUse:
    """The variable of a secret in `secrets` is in capitals, whatever `target` says."""
    return use._replace(variable=use.variable._replace(value=use.variable.value.upper()))


def _grouped(steps: tuple[Step, ...], groups: Map[str, str]) -> tuple[Step, ...]:
    """Steps of one `group` side by side, all of them after those before; `depends_on` anywhere is stronger."""
    if not groups or any(step.depends_on is not None for step in steps):
        return steps
    result: list[Step] = []
    before: tuple[Text, ...] = ()
    current: list[Text] = []
    group = ""
    for step in steps:
        own = groups.get(step.name.value, "")
        if current and not (own and own == group):
            before, current = tuple(current), []
        group = own
        current.append(step.name)
        result.append(replace(step, depends_on=before))
    return tuple(result)
