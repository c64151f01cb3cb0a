"""`.ci.yml`, our own dialect: its keys, and how they become a Document. The users' reference is docs/pipeline.md.

The tables of keys are the whole of what is allowed; a key that is in none of them is an error with the nearest one as a
hint. Keys that begin with `x-`, and `variables`, are passed over at the top of a document: they hold anchors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.pipeline.additions import Additions
from ci.pipeline.cloning import SETTINGS
from ci.pipeline.conditions import FACTS
from ci.pipeline.document import CloneUse, Document, Step, Variable
from ci.pipeline.failure import OnFailure
from ci.pipeline.nodes import Mapping, Scalar, Sequence
from ci.pipeline.options import plugin_variable
from ci.pipeline.rules import HAKO
from ci.pipeline.source import Text
from ci.pipeline.values import PULL

if TYPE_CHECKING:
    from collections.abc import Sequence as Several

    from ci.pipeline.diagnostics import Report
    from ci.pipeline.nodes import Node
    from ci.pipeline.reading import Keys

# What a step and a service have in common.
CONTAINER_KEYS = (
    "name",
    "image",
    "commands",
    "entrypoint",
    "shell",
    "environment",
    "secrets",
    "when",
    "user",
    "privileged",
    "working_dir",
    "directory",
    "volumes",
    "memory",
    "cpus",
    "pull",
    "network_mode",
    "extra_hosts",
    "dns",
    "dns_search",
    "devices",
    "tmpfs",
    "shm_size",
)
STEP_KEYS = (
    *CONTAINER_KEYS,
    "depends_on",
    "failure",
    "timeout",
    "retries",
    "artifacts",
    "report",
    "cache",
    "build",
    "detach",
    "settings",
)
SERVICE_KEYS = (*CONTAINER_KEYS, "ports", "healthcheck", "wait")
CLONE_KEYS = ("disable", *SETTINGS)
# Of a clone that has an image of its own: those of a step that mean something before there are files.
CLONE_STEP_KEYS = (
    "disable",
    *(key for key in CONTAINER_KEYS if key not in {"name", "when"}),
    "timeout",
    "retries",
    "settings",
)
DOCUMENT_KEYS = (
    "name",
    "image",
    "steps",
    "services",
    "environment",
    "secrets",
    "when",
    "depends_on",
    "matrix",
    "timeout",
    "volumes",
    "workspace",
    "labels",
    "clone",
    "concurrency",
    "variables",
)

# Words of other systems, and what they are called here.
_STEP_SYNONYMS = {
    "on": "when",
    "if": "when",
    "only": "when",
    "trigger": "when",
    "script": "commands",
    "run": "commands",
    "cmd": "commands",
    "command": "commands",
    "env": "environment",
    "needs": "depends_on",
    "requires": "depends_on",
    "dir": "directory",
    "workdir": "working_dir",
    "mem_limit": "memory",
    "allow_failure": "failure",
    "retry": "retries",
    "attempts": "retries",
    "continue-on-error": "failure",
    "timeout-minutes": "timeout",
    "uses": "image",
    "health": "healthcheck",
    "reports": "report",
    "junit": "report",
    "wait_for": "ports",
}
_DOCUMENT_SYNONYMS = {
    "on": "when",
    "trigger": "when",
    "pipeline": "steps",
    "jobs": "steps",
    "stages": "steps",
    "env": "environment",
    "needs": "depends_on",
    "strategy": "matrix",
    "runs-on": "labels",
    "runs_on": "labels",
    "node": "labels",
}
_WHEN_SYNONYMS = {
    "on": "event",
    "branches": "branch",
    "tags": "tag",
    "paths": "path",
    "files": "path",
    "events": "event",
    "repository": "repo",
    "refs": "ref",
}
_CLONE_SYNONYMS = {
    "recursive": "submodules",
    "attempts": "retries",
    "skip-verify": "skip_verify",
    "fetch-depth": "depth",
    "fetch-tags": "tags",
}
WHEN_KEYS = (*FACTS, "matrix", "evaluate")


def read(nodes: Several[Node], report: Report) -> tuple[Document, ...]:
    """The documents of a file; what is no map is reported and left out."""
    reader = _Hako(report, HAKO)
    documents = (reader.document(node) for node in nodes)
    return tuple(document for document in documents if document)


class _Hako(Additions):
    """Reads documents, steps and services."""

    synonyms = _STEP_SYNONYMS

    def container_keys(self, word: str) -> tuple[str, ...]:
        return STEP_KEYS if word == "step" else SERVICE_KEYS

    def document(self, node: Node) -> Document | None:
        if not isinstance(node, Mapping):
            hint = 'begin with "steps:", and a list below it'
            self.report.error("not-a-mapping", node.position, _not_a_mapping(node), hint)
            return None
        kept = tuple(entry for entry in node.entries if not entry.key.value.startswith("x-"))
        keys = self.keys(Mapping(kept, node.position), "the document", DOCUMENT_KEYS, _DOCUMENT_SYNONYMS)
        if keys is None:
            return None
        if "steps" not in keys:
            self.report.error(
                "missing-key", node.position, "the document has no steps", 'write "steps:", and a list below it'
            )
        environment, from_secret = self.environment(keys, "environment")
        for use in self.outputs(keys, "environment"):
            message = "an environment of the document cannot have outputs: no step has run yet"
            self.report.error("bad-output", use.output.position, message, "write it at the steps that read it")
        return Document(
            name=self.text(keys, "name"),
            steps=self.containers(keys, "steps"),
            services=self.containers(keys, "services"),
            image=self.text(keys, "image"),
            environment=environment,
            secrets=(*self.secrets(keys, "secrets"), *from_secret),
            when=self.when(keys, "when", WHEN_KEYS, _WHEN_SYNONYMS),
            depends_on=self.texts(keys, "depends_on"),
            matrix=self.matrix(keys, "matrix"),
            timeout=self.text(keys, "timeout"),
            volumes=self.texts(keys, "volumes"),
            workspace=self.text(keys, "workspace"),
            labels=self.pairs(keys, "labels"),
            clone=self._clone(keys),
            concurrency=self.text(keys, "concurrency"),
            position=node.position,
        )

    def _clone(self, keys: Keys) -> CloneUse:
        """`false`, or a map of settings."""
        node = self.get(keys, "clone")
        if isinstance(node, Scalar):
            if node.value == "false":
                return CloneUse(disable=Text("true", node.position), position=node.position)
            self.wrong(node, '"clone"', "false, or a map of settings")
            return CloneUse()
        if isinstance(node, Mapping) and any(entry.key.value == "image" for entry in node.entries):
            return self._clone_step(node)
        found = self.keys(node, '"clone"', CLONE_KEYS, _CLONE_SYNONYMS) if node else None
        if node is None or found is None:
            return CloneUse()
        settings = ((name, self.text(found, name)) for name in SETTINGS)
        return CloneUse(
            disable=self.switch(found, "disable"),
            settings=tuple(Variable(name=Text(name), value=text) for name, text in settings if text),
            position=node.position,
        )

    def _clone_step(self, node: Mapping) -> CloneUse:
        """A clone with an image of its own: one step, called as what it does."""
        found = self.keys(node, '"clone"', CLONE_STEP_KEYS)
        if found is None:
            return CloneUse()
        step = self.container(found, Text("clone", node.position))
        return CloneUse(disable=self.switch(found, "disable"), steps=(step,), position=node.position)

    def container(self, keys: Keys, name: Text) -> Step:
        environment, from_secret = self.environment(keys, "environment")
        if "working_dir" in keys and "directory" in keys:
            message = '"directory" and "working_dir" are the same'
            self.report.error("duplicate-key", keys.position_of("directory"), message, "remove one of the two")
        return Step(
            name=name,
            image=self.text(keys, "image"),
            commands=self.commands(keys),
            entrypoint=self.texts(keys, "entrypoint"),
            shell=self.text(keys, "shell"),
            environment=environment,
            secrets=(
                *self.secrets(keys, "secrets"),
                *from_secret,
                *self.setting_secrets(keys, "settings", plugin_variable),
            ),
            outputs=self.outputs(keys, "environment"),
            when=self.when(keys, "when", WHEN_KEYS, _WHEN_SYNONYMS),
            depends_on=self.texts(keys, "depends_on") if "depends_on" in keys else None,
            failure=self.word(keys, "failure", tuple(OnFailure)),
            timeout=self.text(keys, "timeout"),
            retries=self.text(keys, "retries"),
            artifacts=self.texts(keys, "artifacts"),
            reports=self.texts(keys, "report"),
            caches=self.caches(keys, "cache"),
            build=self.build(keys, "build"),
            working_dir=self.text(keys, "working_dir") or self.text(keys, "directory"),
            user=self.text(keys, "user"),
            privileged=self.switch(keys, "privileged"),
            volumes=self.mounts(keys, "volumes"),
            memory=self.text(keys, "memory"),
            cpus=self.text(keys, "cpus"),
            ports=self.texts(keys, "ports"),
            healthcheck=self.healthcheck(keys, "healthcheck"),
            wait=self.text(keys, "wait"),
            pull=self.word(keys, "pull", PULL),
            **self.options(keys, plugin_variable),
            position=name.position
            if name.position.line and name.position.file == keys.position.file
            else keys.position,
        )


def _not_a_mapping(node: Node) -> str:
    if isinstance(node, Sequence):
        return "the file is a list, not a map of keys and values"
    return "the file is a single value, not a map of keys and values"
