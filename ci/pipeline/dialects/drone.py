"""`.drone.yml`, drone 1.x and 2.x: its keys, and how they become Documents.

The tables are what drone's docker pipelines know (docs.drone.io, "Docker Pipelines, Syntax"). drone itself passes over
every other key; here that is a warning, because most often it is a misspelling. Of a file's documents those of the kind
`pipeline` are Stages; `secret`, `signature` and `cron` say something to a server.
"""

from __future__ import annotations

import posixpath
from dataclasses import replace
from typing import TYPE_CHECKING

from ci.pipeline.cloning import SETTINGS
from ci.pipeline.containers import Containers
from ci.pipeline.document import CloneUse, DeviceUse, Document, Mount, Step, Variable
from ci.pipeline.failure import OnFailure
from ci.pipeline.nodes import Mapping, Sequence
from ci.pipeline.reading import Keys
from ci.pipeline.rules import DRONE
from ci.pipeline.source import NOWHERE, Text
from ci.pipeline.values import PULL

if TYPE_CHECKING:
    from collections.abc import Mapping as Map
    from collections.abc import Sequence as Several

    from ci.pipeline.diagnostics import Report
    from ci.pipeline.nodes import Node
    from ci.pipeline.rules import Rules

CONTAINER_KEYS = (
    "name",
    "image",
    "command",
    "commands",
    "detach",
    "devices",
    "dns",
    "dns_search",
    "entrypoint",
    "environment",
    "extra_hosts",
    "mem_limit",
    "memswap_limit",
    "network_mode",
    "privileged",
    "pull",
    "settings",
    "shell",
    "shm_size",
    "tmpfs",
    "user",
    "volumes",
    "when",
    "working_dir",
)
STEP_KEYS = (*CONTAINER_KEYS, "depends_on", "failure")
SERVICE_KEYS = CONTAINER_KEYS
DOCUMENT_KEYS = (
    "version",
    "kind",
    "type",
    "name",
    "depends_on",
    "clone",
    "concurrency",
    "node",
    "platform",
    "trigger",
    "environment",
    "services",
    "steps",
    "volumes",
    "image_pull_secrets",
    "workspace",
)
WHEN_KEYS = ("action", "branch", "cron", "event", "instance", "ref", "repo", "status", "target")
CLONE_KEYS = ("disable", "depth", "retries", "skip_verify", "trace")
PLATFORM_KEYS = ("os", "arch", "variant", "version")

_OTHER_KINDS = ("secret", "signature", "cron")
_SYNONYMS = {"script": "commands", "env": "environment", "memory": "mem_limit", "directory": "working_dir"}
_DOCUMENT_SYNONYMS = {"when": "trigger", "pipeline": "steps", "labels": "node", "env": "environment"}


def read(nodes: Several[Node], report: Report) -> tuple[Document, ...]:
    """The pipelines of a file; what is none is passed over or reported."""
    reader = _Drone(report, DRONE)
    documents = tuple(document for node in nodes if (document := reader.document(node)))
    if nodes and not documents and not report.failed:
        report.error("empty-file", nodes[0].position, "no document of the file is a pipeline", 'write "kind: pipeline"')
    return documents


class _Drone(Containers):
    """Reads documents, steps and services."""

    synonyms = _SYNONYMS

    def __init__(self, report: Report, rules: Rules) -> None:
        super().__init__(report, rules)
        self.volumes: Map[str, Text | None] = {}  # of the document that is being read: the host's path, or none

    def container_keys(self, word: str) -> tuple[str, ...]:
        return STEP_KEYS if word == "step" else SERVICE_KEYS

    def document(self, node: Node) -> Document | None:
        """One document of the file; None where it is no pipeline that can be run."""
        if not isinstance(node, Mapping):
            hint = 'begin with "kind: pipeline" and "steps:"'
            self.report.error("not-a-mapping", node.position, "the document is not a map of keys and values", hint)
            return None
        if not self._is_ours(node):
            return None
        keys = self.keys(node, "the pipeline", DOCUMENT_KEYS, _DOCUMENT_SYNONYMS)
        if keys is None:
            return None
        if "steps" not in keys:
            hint = 'write "steps:", and a list below it'
            self.report.error("missing-key", node.position, "the pipeline has no steps", hint)
        volumes = self._volumes(keys)
        self.volumes = volumes
        environment, secrets = self.environment(keys, "environment")
        base, path = self._workspace(keys)
        return Document(
            name=self.text(keys, "name"),
            steps=_without_clone(self.containers(keys, "steps")),
            services=self.containers(keys, "services"),
            environment=environment,
            secrets=secrets,
            when=self.when(keys, "trigger", WHEN_KEYS),
            depends_on=self.texts(keys, "depends_on"),
            volumes=tuple(Text(name) for name, host in volumes.items() if host is None),
            workspace=base,
            workspace_path=path,
            labels=(*self.pairs(keys, "node"), *self._platform(keys)),
            clone=self._clone(keys),
            concurrency=self._inner(keys, "concurrency", "limit"),
            image_pull_secrets=self.texts(keys, "image_pull_secrets"),
            rules=DRONE,
            position=node.position,
        )

    def _is_ours(self, node: Mapping) -> bool:
        """Whether it is a pipeline of a type that runs in containers."""
        entries = {entry.key.value: entry for entry in node.entries}
        keys = Keys(entries, "the document", node.position)
        kind, kind_type = self.text(keys, "kind"), self.text(keys, "type")
        if kind is not None and kind.value in _OTHER_KINDS:
            return False
        if kind is None and "pipeline" in keys:
            hint = 'drone 1.x and 2.x want "kind: pipeline", and "steps:" with a list'
            self.report.error("unknown-kind", node.position, "this is a file of drone 0.8", hint)
            return False
        if kind is None:
            self.report.error("missing-key", node.position, 'the document has no "kind"', 'write "kind: pipeline"')
            return False
        if kind.value != "pipeline":
            hint = self.report.suggester.did_you_mean(kind.value, ("pipeline", *_OTHER_KINDS))
            if kind.value == "template":
                hint = "templates live on a drone server: write the pipeline out"
            self.report.error(
                "unknown-kind", kind.position, f'documents of the kind "{kind.value}" cannot be run', hint
            )
            return False
        if kind_type is not None and kind_type.value != "docker":
            hint = 'only "type: docker" runs in containers: a pipeline of images and commands can become one'
            if kind_type.value == "exec":
                hint = 'an exec pipeline runs on the host itself: give its steps an "image", and write "type: docker"'
            message = f'pipelines of the type "{kind_type.value}" cannot be run'
            self.report.error("unknown-kind", kind_type.position, message, hint)
            return False
        return True

    def _inner(self, keys: Keys, key: str, inner: str) -> Text | None:
        """The one value of a map."""
        node = self.get(keys, key)
        found = self.keys(node, f'"{key}"', (inner,)) if node else None
        return self.text(found, inner) if found else None

    def _platform(self, keys: Keys) -> tuple[Variable, ...]:
        node = self.get(keys, "platform")
        found = self.keys(node, '"platform"', PLATFORM_KEYS) if node else None
        if node is None or found is None:
            return ()
        system = self.text(found, "os")
        if system and system.value not in {"linux", ""} and "$" not in system.value:
            message = f'"{system.value}" is no system that containers have here: they are those of Linux'
            self.report.warning("not-honoured", system.position, message)
        parts = [text.value if text else "" for text in (self.text(found, key) for key in PLATFORM_KEYS[:3])]
        name = "/".join(part for part in (parts[0] or "linux", parts[1] or "amd64", parts[2]) if part)
        return (Variable(name=Text("platform", node.position), value=Text(name, node.position)),)

    def _clone(self, keys: Keys) -> CloneUse:
        node = self.get(keys, "clone")
        found = self.keys(node, '"clone"', CLONE_KEYS) if node else None
        if found is None:
            return CloneUse()
        settings = ((key, self.text(found, key)) for key in CLONE_KEYS if key in SETTINGS)
        return CloneUse(
            disable=self.switch(found, "disable"),
            settings=tuple(Variable(name=Text(key), value=text) for key, text in settings if text),
            position=keys.position_of("clone"),
        )

    def _workspace(self, keys: Keys) -> tuple[Text | None, Text | None]:
        """Base and path; an absolute path without a base is the base."""
        node = self.get(keys, "workspace")
        found = self.keys(node, '"workspace"', ("base", "path")) if node else None
        if found is None:
            return None, None
        base, path = self.text(found, "base"), self.text(found, "path")
        if base is None and path is not None and posixpath.isabs(path.value):
            return path, None
        return base, path

    # Volumes

    def _volumes(self, keys: Keys) -> dict[str, Text | None]:
        """The document's volumes by name, with the host's path of those that are the host's."""
        node = self.get(keys, "volumes")
        if node is None:
            return {}
        if not isinstance(node, Sequence):
            self.wrong(node, '"volumes"', 'a list of volumes: "name:" with "temp: {}" or "host:"')
            return {}
        volumes: dict[str, Text | None] = {}
        for item in node.items:
            found = self.keys(item, "a volume", ("name", "temp", "host"))
            name = self.text(found, "name") if found else None
            if found is None or name is None:
                continue
            host = self._inner(found, "host", "path")
            if "host" in found and host is None:
                self.report.error("missing-key", found.position_of("host"), 'a volume of the host has no "path"')
            if temporary := self.get(found, "temp"):
                self._temporary(temporary)
            if name.value in volumes:
                self.report.error("duplicate-name", name.position, f'the volume "{name.value}" is here twice')
            volumes[name.value] = host
        return volumes

    def _temporary(self, node: Node) -> None:
        found = self.keys(node, '"temp"', ("medium", "size_limit"))
        for key in ("medium", "size_limit"):
            if found and key in found:
                message = f'"{key}" is not kept: a temporary volume is on the disk, and as large as that'
                self.report.warning("not-honoured", found.position_of(key), message)

    def mounts(self, keys: Keys, key: str) -> tuple[Mount, ...]:
        """A list of `{name, path}`, where the document says what the name is."""
        node = self.get(keys, key)
        if node is None:
            return ()
        if not isinstance(node, Sequence):
            self.wrong(node, f'"{key}"', 'a list of maps with "name" and "path"')
            return ()
        mounts: list[Mount] = []
        for item in node.items:
            name, path = self._named_path(item, "a volume")
            if name and path:
                host = self.volumes.get(name.value)
                mounts.append(Mount(name=None if host else name, host=host, target=path, position=item.position))
        return tuple(mounts)

    def devices(self, keys: Keys, key: str) -> tuple[DeviceUse, ...]:
        """A list of `{name, path}`, where the name is that of a volume of the host: the device."""
        node = self.get(keys, key)
        found: list[DeviceUse] = []
        for item in node.items if isinstance(node, Sequence) else (node,) if node else ():
            name, path = self._named_path(item, "a device")
            if name is None or path is None:
                continue
            source = self.volumes.get(name.value)
            if source is None:
                message = f'there is no volume "{name.value}" of the host that names the device'
                self.report.error("unknown-volume", name.position, message)
            else:
                found.append(DeviceUse(source=source, target=path))
        return tuple(found)

    def _named_path(self, node: Node, what: str) -> tuple[Text | None, Text | None]:
        keys = self.keys(node, what, ("name", "path"))
        if keys is None:
            return None, None
        for key in ("name", "path"):
            if key not in keys:
                self.report.error("missing-key", node.position, f'{what} has no "{key}"')
        return self.text(keys, "name"), self.text(keys, "path")

    # Steps

    def container(self, keys: Keys, name: Text) -> Step:
        environment, from_secret = self.environment(keys, "environment")
        return Step(
            name=name,
            image=self.text(keys, "image"),
            commands=self.commands(keys),
            entrypoint=self.texts(keys, "entrypoint"),
            arguments=self.texts(keys, "command"),
            shell=self.text(keys, "shell"),
            environment=environment,
            secrets=(*from_secret, *self.setting_secrets(keys, "settings", _plugin_variable)),
            when=self.when(keys, "when", WHEN_KEYS),
            depends_on=self.texts(keys, "depends_on") if "depends_on" in keys else None,
            failure=self.word(keys, "failure", tuple(OnFailure)),
            working_dir=self.text(keys, "working_dir"),
            user=self.text(keys, "user"),
            privileged=self.switch(keys, "privileged"),
            volumes=self.mounts(keys, "volumes"),
            memory=self.text(keys, "mem_limit"),
            memory_swap=self.text(keys, "memswap_limit"),
            pull=self.word(keys, "pull", PULL),
            **self.options(keys, _plugin_variable),
            position=name.position if name.position != NOWHERE else keys.position,
        )


def _without_clone(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Steps may name `clone`, drone's own and the first of all; here it is over when they begin."""
    if any(step.name.value == "clone" for step in steps):
        return steps
    return tuple(
        replace(step, depends_on=tuple(text for text in step.depends_on if text.value != "clone"))
        if step.depends_on
        else step
        for step in steps
    )


def _plugin_variable(name: str) -> str:
    """The variable of a setting, as drone names it."""
    return "PLUGIN_" + name.upper()
