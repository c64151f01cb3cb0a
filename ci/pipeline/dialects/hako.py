"""`.ci.yml`, our own dialect: its keys, and how they become a Document. The users' reference is docs/pipeline.md.

The tables of keys are the whole of what is allowed; a key that is in none of them is an error with the nearest one as a
hint. Keys that begin with `x-`, and `variables`, are passed over at the top of a document: they hold anchors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.pipeline.conditions import FACTS
from ci.pipeline.document import Document, Step
from ci.pipeline.failure import OnFailure
from ci.pipeline.nodes import Entry, Mapping, Scalar, Sequence
from ci.pipeline.parts import Parts
from ci.pipeline.source import Text

if TYPE_CHECKING:
    from collections.abc import Iterator
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
)
STEP_KEYS = (*CONTAINER_KEYS, "depends_on", "failure", "timeout")
SERVICE_KEYS = (*CONTAINER_KEYS, "ports")
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
    "continue-on-error": "failure",
    "timeout-minutes": "timeout",
    "uses": "image",
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
_COMMAND_HINT = 'quote the command: a ": " in it makes it a map'


def read(nodes: Several[Node], report: Report) -> tuple[Document, ...]:
    """The documents of a file; what is no map is reported and left out."""
    reader = _Hako(report)
    documents = (reader.document(node) for node in nodes)
    return tuple(document for document in documents if document)


class _Hako(Parts):
    """Reads documents, steps and services."""

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
        return Document(
            name=self.text(keys, "name"),
            steps=self._containers(keys, "steps"),
            services=self._containers(keys, "services"),
            image=self.text(keys, "image"),
            environment=environment,
            secrets=(*self.secrets(keys, "secrets"), *from_secret),
            when=self.when(keys, "when", FACTS, _WHEN_SYNONYMS),
            depends_on=self.texts(keys, "depends_on"),
            matrix=self.matrix(keys, "matrix"),
            timeout=self.text(keys, "timeout"),
            volumes=self.texts(keys, "volumes"),
            workspace=self.text(keys, "workspace"),
            labels=self.pairs(keys, "labels"),
            position=node.position,
        )

    def _containers(self, keys: Keys, key: str) -> tuple[Step, ...]:
        """A list of maps that have a name, or a map of names to maps."""
        node = self.get(keys, key)
        word = key.removesuffix("s")
        found: list[Step | None] = []
        if isinstance(node, Mapping):
            found = [self._named(entry, word) for entry in node.entries]
        elif isinstance(node, Sequence):
            found = [self._listed(item, word) for item in node.items]
        elif node is not None:
            self.wrong(node, f'"{key}"', "a list of maps, or a map of names to maps")
            return ()
        if node is not None and not found and key == "steps":
            self.report.error("empty-value", node.position, "there are no steps")
        return tuple(step for step in found if step)

    def _named(self, entry: Entry, word: str) -> Step | None:
        name = entry.key.text
        self._check_empty(name, word)
        keys = self._container_keys(entry.value, word, f'{word} "{name.value}"')
        if keys is None:
            return None
        if "name" in keys:
            message = f'the {word} has a name already: "{name.value}"'
            self.report.error("duplicate-key", keys.position_of("name"), message, "remove the key")
        return self._container(keys, name)

    def _listed(self, node: Node, word: str) -> Step | None:
        name = _name(node)
        what = f'{word} "{name.value}"' if name else f"a {word}"
        if isinstance(node, Mapping) and len(node.entries) == 1 and isinstance(node.entries[0].value, Mapping):
            key = node.entries[0].key
            if key.value not in STEP_KEYS:
                hint = f'write "- name: {key.value}", and its keys below "name"; or leave out the "-"'
                self.report.error("missing-name", key.position, f"a {word} of a list has a key for its name", hint)
                return self._named(node.entries[0], word)
        keys = self._container_keys(node, word, what)
        if keys is None:
            return None
        written = self.text(keys, "name")
        if "name" not in keys:
            self.report.error("missing-name", node.position, f"{what} has no name", 'write "name:"')
        if written:
            self._check_empty(written, word)
        return self._container(keys, written or Text("", node.position))

    def _check_empty(self, name: Text, word: str) -> None:
        if not name.value:
            self.report.error("missing-name", name.position, f"the name of a {word} is empty")

    def _container_keys(self, node: Node, word: str, what: str) -> Keys | None:
        return self.keys(node, what, STEP_KEYS if word == "step" else SERVICE_KEYS, _STEP_SYNONYMS)

    def _container(self, keys: Keys, name: Text) -> Step:
        environment, from_secret = self.environment(keys, "environment")
        if "working_dir" in keys and "directory" in keys:
            message = '"directory" and "working_dir" are the same'
            self.report.error("duplicate-key", keys.position_of("directory"), message, "remove one of the two")
        commands = self.texts(keys, "commands", _COMMAND_HINT)
        if "commands" in keys and not commands:
            self._empty_commands(keys)
        failure = self.word(keys, "failure", tuple(OnFailure))
        return Step(
            name=name,
            image=self.text(keys, "image"),
            commands=commands,
            entrypoint=self.texts(keys, "entrypoint"),
            shell=self.text(keys, "shell"),
            environment=environment,
            secrets=(*self.secrets(keys, "secrets"), *from_secret),
            when=self.when(keys, "when", FACTS, _WHEN_SYNONYMS),
            depends_on=self.texts(keys, "depends_on") if "depends_on" in keys else None,
            failure=OnFailure(failure or OnFailure.FAIL),
            timeout=self.text(keys, "timeout"),
            working_dir=self.text(keys, "working_dir") or self.text(keys, "directory"),
            user=self.text(keys, "user"),
            privileged=self.flag(keys, "privileged"),
            volumes=self.mounts(keys, "volumes"),
            memory=self.text(keys, "memory"),
            cpus=self.text(keys, "cpus"),
            ports=self.texts(keys, "ports"),
            position=name.position if name.position.line else keys.position,
        )

    def _empty_commands(self, keys: Keys) -> None:
        node = keys.entries["commands"].value
        if isinstance(node, Sequence) and not node.items:
            hint = "without the key, the image's own command runs"
            self.report.error("empty-commands", keys.position_of("commands"), f"{keys.what} has no commands", hint)


def _name(node: Node) -> Scalar | None:
    """The name of a step of a list, before its other keys are looked at."""
    if not isinstance(node, Mapping):
        return None
    values: Iterator[Node] = (entry.value for entry in node.entries if entry.key.value == "name")
    value = next(values, None)
    return value if isinstance(value, Scalar) else None


def _not_a_mapping(node: Node) -> str:
    if isinstance(node, Sequence):
        return "the file is a list, not a map of keys and values"
    return "the file is a single value, not a map of keys and values"
