"""Nodes → the steps and services of a document: a list of maps that have a name, or a map of names to maps.

The base of the dialects' front ends: one says which keys a container has (`container_keys`, `synonyms`) and makes a
Step of them (`container`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.pipeline.nodes import Mapping, Scalar, Sequence
from ci.pipeline.options import Options
from ci.pipeline.source import Text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping as Map

    from ci.pipeline.document import Step
    from ci.pipeline.nodes import Entry, Node
    from ci.pipeline.reading import Keys

COMMAND_HINT = 'quote the command: a ": " in it makes it a map'


class Containers(Options):
    """Reads lists and maps of containers; `word` is `step`, `service` or `clone`."""

    synonyms: Map[str, str] = {}
    nameless = ""  # a container of a list without a name is called so, with its number from 0 on

    def container_keys(self, word: str) -> tuple[str, ...]:
        """The keys of a step or a service."""
        raise NotImplementedError

    def container(self, keys: Keys, name: Text) -> Step:
        """One step or service."""
        raise NotImplementedError

    def containers(self, keys: Keys, key: str) -> tuple[Step, ...]:
        """All of a list or a map."""
        node = self.get(keys, key)
        word = {"services": "service", "clone": "clone"}.get(key, "step")
        found: list[Step | None] = []
        if isinstance(node, Mapping):
            found = [self._named(entry, word) for entry in node.entries]
        elif isinstance(node, Sequence):
            found = [self._listed(item, word, number) for number, item in enumerate(node.items)]
        elif node is not None:
            self.wrong(node, f'"{key}"', "a list of maps, or a map of names to maps")
            return ()
        if node is not None and not found and word == "step":
            self.report.error("empty-value", node.position, "there are no steps")
        return tuple(step for step in found if step)

    def _named(self, entry: Entry, word: str) -> Step | None:
        name = entry.key.text
        self._check_empty(name, word)
        keys = self._keys(entry.value, word, f'{word} "{name.value}"')
        if keys is None:
            return None
        if "name" in keys and self.rules.lenient:
            name = self.text(keys, "name") or name
        elif "name" in keys:
            message = f'the {word} has a name already: "{name.value}"'
            self.report.error("duplicate-key", keys.position_of("name"), message, "remove the key")
        return self.container(keys, name)

    def _listed(self, node: Node, word: str, number: int) -> Step | None:
        name = _name(node)
        what = f'{word} "{name.value}"' if name else f"a {word}"
        if isinstance(node, Mapping) and len(node.entries) == 1 and isinstance(node.entries[0].value, Mapping):
            key = node.entries[0].key
            if key.value not in self.container_keys(word):
                hint = f'write "- name: {key.value}", and its keys below "name"; or leave out the "-"'
                self.report.error("missing-name", key.position, f"a {word} of a list has a key for its name", hint)
                return self._named(node.entries[0], word)
        keys = self._keys(node, word, what)
        if keys is None:
            return None
        written = self.text(keys, "name")
        if "name" not in keys and self.nameless:
            # Others have another prefix than Woodpecker gives them: there the first step would have the same name.
            prefix = self.nameless if word == "step" else f"{word}-"
            written = Text(f"{prefix}{number}", node.position)
        elif "name" not in keys:
            self.report.error("missing-name", node.position, f"{what} has no name", 'write "name:"')
        if written:
            self._check_empty(written, word)
        return self.container(keys, written or Text("", node.position))

    def _check_empty(self, name: Text, word: str) -> None:
        if not name.value:
            self.report.error("missing-name", name.position, f"the name of a {word} is empty")

    def _keys(self, node: Node, word: str, what: str) -> Keys | None:
        return self.keys(node, what, self.container_keys(word), self.synonyms)

    def commands(self, keys: Keys) -> tuple[Text, ...]:
        """What the shell runs."""
        commands = self.texts(keys, "commands", COMMAND_HINT)
        if "commands" in keys and not commands and not self.rules.lenient:
            node = keys.entries["commands"].value
            if isinstance(node, Sequence) and not node.items:
                hint = "without the key, the image's own command runs"
                self.report.error("empty-commands", keys.position_of("commands"), f"{keys.what} has no commands", hint)
        return commands


def _name(node: Node) -> Scalar | None:
    """The name of a step of a list, before its other keys are looked at."""
    if not isinstance(node, Mapping):
        return None
    values: Iterator[Node] = (entry.value for entry in node.entries if entry.key.value == "name")
    value = next(values, None)
    return value if isinstance(value, Scalar) else None
