"""Nodes → the parts that a document is made of: environments, secrets, conditions, matrix, volumes.

What all dialects have in common and more than single values and lists, which are in `reading`; a dialect's front end is
a `Parts`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.pipeline.document import Axis, Condition, Filter, Matrix, Mount, SecretUse, Variable
from ci.pipeline.nodes import Kind, Mapping, Scalar, Sequence
from ci.pipeline.reading import Keys, Reader
from ci.pipeline.settings import encode, is_nothing, is_secret
from ci.pipeline.source import Position, Text
from ci.pipeline.values import secret_variable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Mapping as Map

    from ci.pipeline.nodes import Node


_RIGHTS = frozenset(("ro", "rw"))
# What docker understands besides: labels of SELinux, and how mounts and writes are handed on, which a bind does anyway.
_BIND_OPTIONS = _RIGHTS | {"z", "Z", "cached", "delegated", "consistent", "nocopy", "rprivate", "private", "rslave"}


class Parts(Reader):
    """Reads the parts of a document into one report."""

    # Names and values

    def environment(self, keys: Keys, key: str) -> tuple[tuple[Variable, ...], tuple[SecretUse, ...]]:
        """A map of names to values or to `{from_secret:

        name}`, or a list of `NAME=value`: the plain ones, and the secrets.
        """
        node = self.get(keys, key)
        plain: list[Variable] = []
        secret: list[SecretUse] = []
        if isinstance(node, Mapping):
            for name, value in node.entries:
                if self.rules.lenient and is_nothing(value):
                    continue
                if isinstance(value, Scalar):
                    written = "" if value.kind is Kind.NULL else value.value
                    plain.append(Variable(name=name.text, value=Text(written, value.position)))
                elif self.rules.lenient and not is_secret(value):
                    plain.append(Variable(name=name.text, value=Text(encode(value), value.position)))
                elif self.reads_elsewhere(value):
                    continue
                elif (source := self.from_secret(value, name.value)) is not None:
                    secret.append(SecretUse(variable=name.text, secret=source))
        elif isinstance(node, Sequence):
            for text in self.items(node, f'"{key}"'):
                at = text.value.find("=")
                if at < 0:
                    self.report.error("wrong-type", text.position, f'"{text.value}" has no "="', 'write "NAME=value"')
                    continue
                plain.append(Variable(name=text.part(0, at), value=text.part(at + 1, len(text.value))))
        elif node is not None:
            self.wrong(node, f'"{key}"', "a map of names to values")
        return tuple(plain), tuple(secret)

    def reads_elsewhere(self, node: Node) -> bool:  # noqa: ARG002  (a dialect may)
        """Whether a value of an environment is of a form of the dialect's own, which it reads by itself."""
        return False

    def from_secret(self, node: Node, name: str) -> Text | None:
        """The secret that a value of the form `{from_secret: name}` names."""
        if not isinstance(node, Mapping):
            self.wrong(
                node, f'"{name}"', "a string", "an environment holds strings: join the values of a list yourself"
            )
            return None
        keys = self.keys(node, f'"{name}"', ("from_secret",), {"secret": "from_secret"})
        if keys is None or "from_secret" not in keys:
            return None
        return self.text(keys, "from_secret")

    def secrets(self, keys: Keys, key: str) -> tuple[SecretUse, ...]:
        """A list of secrets' names, each for a variable of that name in upper case, or of `{source: …, target: …}`."""
        node = self.get(keys, key)
        if node is None:
            return ()
        result: list[SecretUse] = []
        for item in node.items if isinstance(node, Sequence) else (node,):
            if isinstance(item, Mapping):
                parts = self.keys(
                    item, "a secret", ("source", "target"), {"name": "source", "from_secret": "source", "as": "target"}
                )
                source = self.text(parts, "source") if parts else None
                target = self.text(parts, "target") if parts else None
                if parts and "source" not in parts:
                    self.report.error("missing-key", item.position, 'a secret has no "source"', 'write "source: name"')
                if source:
                    result.append(SecretUse(variable=target or _variable_of(source), secret=source))
            else:
                result += (SecretUse(variable=_variable_of(text), secret=text) for text in self.items(item, f'"{key}"'))
        return tuple(result)

    def pairs(self, keys: Keys, key: str) -> tuple[Variable, ...]:
        """A map of names to plain values."""
        node = self.get(keys, key)
        return () if node is None else self._pairs(node, f'"{key}"')

    def _pairs(self, node: Node, what: str) -> tuple[Variable, ...]:
        if not isinstance(node, Mapping):
            self.wrong(node, what, "a map of names to values")
            return ()
        result: list[Variable] = []
        for name, value in node.entries:
            if isinstance(value, Scalar):
                result.append(Variable(name=name.text, value=value.text))
            else:
                self.wrong(value, f'"{name.value}"', "a string")
        return tuple(result)

    # Conditions

    def when(
        self, keys: Keys, key: str, facts: Iterable[str], synonyms: Map[str, str] | None = None
    ) -> tuple[Condition, ...]:
        """A map of filters, or a list of such maps, of which one must hold.

        `facts` are the keys of a map, `matrix` and `evaluate` among them where the dialect has those.
        """
        node = self.get(keys, key)
        if node is None:
            return ()
        if isinstance(node, Sequence) and not node.items:
            if not self.rules.lenient:
                self.report.error("empty-value", node.position, f'"{key}" is an empty list', "remove the key")
            return ()
        conditions: list[Condition] = []
        for item in node.items if isinstance(node, Sequence) else (node,):
            found = self.keys(item, f'"{key}"', facts, synonyms)
            if found is None:
                continue
            named = (fact for fact in facts if fact not in {"matrix", "evaluate"})
            filters = {fact: patterns for fact in named if (patterns := self._filter(found, fact)) is not None}
            conditions.append(
                Condition(
                    filters=filters,
                    matrix=self._matrix_filters(found),
                    evaluate=self.text(found, "evaluate"),
                    position=item.position,
                )
            )
        return tuple(conditions)

    def _filter(self, keys: Keys, fact: str) -> Filter | None:
        node = self.get(keys, fact)
        return None if node is None else self.patterns(node, f'"{fact}"', keys.position_of(fact))

    def patterns(self, node: Node, what: str, position: Position) -> Filter | None:
        """What a value is compared with: a pattern, a list of them, or a map of `include` and `exclude`."""
        ignore_message, on_empty = None, True
        if isinstance(node, Mapping):
            known = ("include", "exclude", "ignore_message", "on_empty") if what == '"path"' else ("include", "exclude")
            keys = self.keys(node, what, known)
            include, exclude = (self.texts(keys, "include"), self.texts(keys, "exclude")) if keys else ((), ())
            if keys:
                ignore_message = self.text(keys, "ignore_message")
                on_empty = "on_empty" not in keys or self.flag(keys, "on_empty") is not None
        else:
            include, exclude = self.items(node, what), ()
        if include or exclude or ignore_message or not on_empty:
            return Filter(
                include=include, exclude=exclude, ignore_message=ignore_message, on_empty=on_empty, position=position
            )
        if self.rules.lenient:
            return None
        self.report.error(
            "empty-value", node.position, f"{what} names nothing to match", "write a value, or remove the key"
        )
        return None

    def _matrix_filters(self, keys: Keys) -> dict[str, Filter]:
        node = self.get(keys, "matrix")
        if node is None:
            return {}
        if not isinstance(node, Mapping):
            self.wrong(node, '"matrix" of a condition', "a map of the matrix's variables to values")
            return {}
        filters: dict[str, Filter] = {}
        for name, value in node.entries:
            patterns = self.patterns(value, f'"{name.value}"', name.position)
            if patterns:
                filters[name.value] = patterns
        return filters

    # Matrix

    def matrix(self, keys: Keys, key: str) -> Matrix | None:
        """Axes, `include` and `exclude`."""
        node = self.get(keys, key)
        if node is None:
            return None
        if not isinstance(node, Mapping):
            self.wrong(node, f'"{key}"', "a map of variables to lists of values")
            return None
        axes: list[Axis] = []
        cells: dict[str, tuple[tuple[Variable, ...], ...]] = {}
        for name, value in node.entries:
            if name.value in ("include", "exclude"):
                cells[name.value] = self._cells(value, name.value)
            else:
                axes.append(Axis(name=name.text, values=self.items(value, f'"{name.value}"')))
        return Matrix(
            axes=tuple(axes),
            include=cells.get("include", ()),
            exclude=cells.get("exclude", ()),
            position=keys.position_of(key),
        )

    def _cells(self, node: Node, what: str) -> tuple[tuple[Variable, ...], ...]:
        if not isinstance(node, Sequence):
            self.wrong(node, f'"{what}"', "a list of maps")
            return ()
        return tuple(self._pairs(item, f'each item of "{what}"') for item in node.items)

    # Volumes

    def mounts(self, keys: Keys, key: str) -> tuple[Mount, ...]:
        """A list of `name:/path[:ro]`, `/host/path:/path[:ro]`, or maps of `name` or `host`, `target`, `read_only`."""
        node = self.get(keys, key)
        if node is None:
            return ()
        result: list[Mount | None] = []
        for item in node.items if isinstance(node, Sequence) else (node,):
            if isinstance(item, Mapping):
                result.append(self._mount_map(item))
            else:
                result += (self._mount_text(text) for text in self.items(item, f'"{key}"'))
        return tuple(mount for mount in result if mount)

    def _mount_text(self, text: Text) -> Mount | None:
        parts: list[Text] = []
        start = 0
        for part in text.value.split(":"):
            parts.append(text.part(start, start + len(part)))
            start += len(part) + 1
        options = set(parts[2].value.split(",")) if len(parts) > 2 else set()
        known = _BIND_OPTIONS if self.rules.lenient else _RIGHTS
        if not 2 <= len(parts) <= 3 or not options <= known or not parts[0].value:
            message = f'"{text.value}" is not a volume'
            self.report.error(
                "bad-volume", text.position, message, 'write "name:/path", "/host/path:/path" or "name:/path:ro"'
            )
            return None
        named = parts[0].value[0] not in "/.~$"
        return Mount(
            name=parts[0] if named else None,
            host=None if named else parts[0],
            target=parts[1],
            read_only="ro" in options,
            position=text.position,
        )

    def _mount_map(self, node: Mapping) -> Mount | None:
        synonyms = {"path": "target", "source": "host", "readonly": "read_only", "destination": "target"}
        keys = self.keys(node, "a volume", ("name", "host", "target", "read_only"), synonyms)
        if keys is None:
            return None
        name, host, target = (self.text(keys, key) for key in ("name", "host", "target"))
        if "target" not in keys:
            self.report.error(
                "missing-key", node.position, 'a volume has no "target"', "write the path in the container"
            )
        if ("name" in keys) == ("host" in keys):
            message = 'a volume has either a "name" or a "host" path'
            self.report.error("bad-volume", node.position, message)
            return None
        if target is None or not (name or host):
            return None
        read_only = self.flag(keys, "read_only") is not None
        return Mount(name=name, host=host, target=target, read_only=read_only, position=node.position)


def _variable_of(secret: Text) -> Text:
    return Text(secret_variable(secret.value), secret.position)
