"""Nodes → what our own dialect adds to steps and services, beyond what drone and Woodpecker know.

The base of `dialects.hako`, which says where the keys may be. Limits and types are checked by `lint.additions`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ci.pipeline.containers import Containers
from ci.pipeline.document import Axis, BuildUse, CacheUse, HealthUse, OutputUse
from ci.pipeline.nodes import Mapping, Scalar, Sequence
from ci.pipeline.reading import Keys

if TYPE_CHECKING:
    from ci.pipeline.document import Matrix
    from ci.pipeline.nodes import Node

_BUILD_KEYS = ("context", "dockerfile", "target", "args", "tags")
_BUILD_SYNONYMS = {
    "file": "dockerfile",
    "path": "context",
    "build_args": "args",
    "build-args": "args",
    "tag": "tags",
    "image": "tags",
    "name": "tags",
}
_CACHE_KEYS = ("paths", "key", "fallback")
_CACHE_SYNONYMS = {
    "path": "paths",
    "mount": "paths",
    "restore-keys": "fallback",
    "restore_keys": "fallback",
    "fallback_keys": "fallback",
    "cache_key": "key",
}
_HEALTH_KEYS = ("command", "interval", "timeout")
_HEALTH_SYNONYMS = {"test": "command", "cmd": "command", "script": "command"}


class Additions(Containers):
    """Reads what ours adds."""

    def reads_elsewhere(self, node: Node) -> bool:
        """`{from_output: step.name}`, which `outputs` reads."""
        return isinstance(node, Mapping) and any(entry.key.value == "from_output" for entry in node.entries)

    def outputs(self, keys: Keys, key: str) -> tuple[OutputUse, ...]:
        """The variables of an environment that are `{from_output: step.name}`."""
        node = self.get(keys, key)
        found: list[OutputUse] = []
        for name, value in node.entries if isinstance(node, Mapping) else ():
            if self.reads_elsewhere(value):
                inner = self.keys(value, f'"{name.value}"', ("from_output",))
                output = self.text(inner, "from_output") if inner else None
                if output is not None:
                    found.append(OutputUse(variable=name.text, output=output))
        return tuple(found)

    def matrix(self, keys: Keys, key: str) -> Matrix | None:
        """The matrix of all dialects; and axes, or a whole, that are `{from_output: stage/step.name}`."""
        node = self.get(keys, key)
        if not isinstance(node, Mapping):
            return super().matrix(keys, key)
        whole, axes, plain = None, [], []
        for entry in node.entries:
            if entry.key.value == "from_output" and isinstance(entry.value, Scalar):
                whole = entry.value.text
            elif self.reads_elsewhere(entry.value):
                inner = self.keys(entry.value, f'"{entry.key.value}"', ("from_output",))
                source = self.text(inner, "from_output") if inner else None
                axes.append(Axis(name=entry.key.text, values=(), source=source))
            else:
                plain.append(entry)
        if whole is None and not axes:
            return super().matrix(keys, key)
        written = keys.entries[key]._replace(value=Mapping(tuple(plain), node.position))
        found = super().matrix(Keys({key: written}, keys.what, keys.position), key)
        if found is None:
            return None
        in_order = sorted((*found.axes, *axes), key=lambda axis: (axis.name.position.line, axis.name.position.column))
        return replace(found, axes=tuple(in_order), source=whole)

    def build(self, keys: Keys, key: str) -> BuildUse | None:
        """The context's path, or a map with the Dockerfile, the target, arguments and names."""
        node = self.get(keys, key)
        if node is None:
            return None
        if not isinstance(node, Mapping):
            return BuildUse(context=self.text(keys, key), position=node.position)
        inner = self.keys(node, f'"{key}"', (*_BUILD_KEYS, "push"), _BUILD_SYNONYMS)
        if inner is None:
            return None
        if "push" in inner:
            message = "an image that a step builds cannot be pushed yet"
            hint = "steps of the same stage use it by its name"
            self.report.error("not-supported", inner.position_of("push"), message, hint)
        return BuildUse(
            context=self.text(inner, "context"),
            dockerfile=self.text(inner, "dockerfile"),
            target=self.text(inner, "target"),
            args=self.pairs(inner, "args"),
            tags=self.texts(inner, "tags"),
            position=node.position,
        )

    def caches(self, keys: Keys, key: str) -> tuple[CacheUse, ...]:
        """A path or a list of paths; or a map of `paths`, `key` and `fallback`, or a list of such maps."""
        node = self.get(keys, key)
        if node is None:
            return ()
        nodes = node.items if isinstance(node, Sequence) else (node,)
        if not any(isinstance(one, Mapping) for one in nodes):
            return (CacheUse(paths=self.items(node, f'"{key}"'), position=node.position),)
        found: list[CacheUse] = []
        for one in nodes:
            inner = self.keys(one, "a cache", _CACHE_KEYS, _CACHE_SYNONYMS)
            if inner is None:
                continue
            if "paths" not in inner:
                self.report.error("missing-key", one.position, 'a cache has no "paths"', 'write "paths:"')
            found.append(
                CacheUse(
                    paths=self.texts(inner, "paths"),
                    key=self.text(inner, "key"),
                    fallback=self.texts(inner, "fallback"),
                    position=one.position,
                )
            )
        return tuple(found)

    def healthcheck(self, keys: Keys, key: str) -> HealthUse | None:
        """A command: one string for the shell or a list of words; or a map with it as `command`."""
        node = self.get(keys, key)
        if node is None:
            return None
        inner, inner_key = keys, key
        if isinstance(node, Mapping):
            found = self.keys(node, f'"{key}"', _HEALTH_KEYS, _HEALTH_SYNONYMS)
            if found is None:
                return None
            inner, inner_key = found, "command"
        command = self.texts(inner, inner_key)
        if not command or not all(text.value for text in command):
            message = "a healthcheck has no command"
            self.report.error("missing-key", node.position, message, 'write "command:", a string or a list of words')
            return None
        return HealthUse(
            command=command,
            shell=not isinstance(inner.entries[inner_key].value, Sequence),
            interval=self.text(inner, "interval") if inner is not keys else None,
            timeout=self.text(inner, "timeout") if inner is not keys else None,
        )
