"""`include` in a list of steps: the steps of a template in its place, with the template's services and volumes.

    steps:
    - include: ci/test.yml
      ref: v1.2
      with: {PACKAGE: core}

Nodes → nodes, before a document is made of them, so everything else of a step is read and checked as ever; what is
wrong in a template is shown there, with the line that includes it. Who reads the files is a Library: nothing here
touches the host. Our own dialect's only, called by `loading`.

What parameters are to a template is told in `parameters`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ci.pipeline.edits import Edit
from ci.pipeline.nodes import Entry, Kind, Mapping, Scalar, Sequence
from ci.pipeline.parameters import filled, with_variables
from ci.pipeline.source import SourceError, invisible, read
from ci.pipeline.values import BadValue, variable
from ci.pipeline.yaml import NODE_LIMIT, parse

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Mapping as Map

    from ci.pipeline.diagnostics import Report
    from ci.pipeline.nodes import Node
    from ci.pipeline.source import Position

DEPTH_LIMIT = 8
FILES_LIMIT = 100  # included files of one pipeline, counted as often as they are included
TEXT_LIMIT = 1024 * 1024  # bytes of all of them
PATH_LIMIT = 512

ITEM_KEYS = ("include", "ref", "with")
TEMPLATE_KEYS = ("parameters", "steps", "services", "volumes")

_PATH = re.compile(r"(?!/)[^\x00-\x1f\x7f\\:]+\.ya?ml")
# What git allows (git-check-ref-format) and nothing that a revision's grammar gives a meaning.
_REF = re.compile(r"(?!.*(?:\.\.|//|\.lock(?:/|$)|/\.|\.$|/$))[A-Za-z0-9_][A-Za-z0-9_./+-]{0,254}", re.ASCII)


class LibraryError(Exception):
    """A template that is not to be had; `message` and `hint` are for the user."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Library(Protocol):
    """Where templates are."""

    def read(self, path: str, ref: str) -> bytes:
        """The bytes of the file at a path below the project, at a git reference, or as it lies there (`ref` empty).

        Path and reference are checked already (no `..`, nothing that git reads as more than a name). Raises
        LibraryError.
        """


class _Place(NamedTuple):
    path: str
    ref: str

    def __str__(self) -> str:
        return f"{self.path} at {self.ref}" if self.ref else self.path


class _Template(NamedTuple):
    """What takes the place of an `include`."""

    steps: tuple[Node, ...] = ()
    services: tuple[Node, ...] = ()
    volumes: tuple[Node, ...] = ()


def expand(nodes: Iterable[Node], report: Report, library: Library | None) -> tuple[Node, ...]:
    """The documents with templates in the places of their includes."""
    expander = _Expander(report, library)
    return tuple(expander.document(node) for node in nodes)


class _Expander:
    """Expands one file."""

    def __init__(self, report: Report, library: Library | None) -> None:
        self.report = report
        self.library = library
        self.count = 0
        self.bytes = 0
        self.values = 0

    def document(self, node: Node) -> Node:
        """A document without includes."""
        steps = _value(node, "steps")
        if not isinstance(node, Mapping) or not isinstance(steps, Sequence) or not any(map(_is_include, steps.items)):
            return node
        found = self._items(steps.items, ())
        entries = {entry.key.value: entry for entry in node.entries}
        entries["steps"] = entries["steps"]._replace(value=steps._replace(items=found.steps))
        for key, more in (("services", found.services), ("volumes", found.volumes)):
            if more:
                entries[key] = self._added(key, entries.get(key), more, node.position)
        return node._replace(entries=tuple(entries.values()))

    def _added(self, key: str, entry: Entry | None, more: tuple[Node, ...], position: Position) -> Entry:
        """A list of the document with what templates add."""
        if entry is None:
            return Entry(Scalar(key, Kind.TEXT, position), Sequence(more, position))
        before: tuple[Node, ...] = entry.value.items if isinstance(entry.value, Sequence) else (entry.value,)
        if isinstance(entry.value, Mapping):
            message = f'a template adds to "{key}", and that is no list'
            self.report.error("bad-include", entry.key.position, message, f'write "{key}" as a list')
            return entry
        if key == "volumes":  # two templates may share one
            names = {item.value for item in before if isinstance(item, Scalar)}
            more = tuple(item for item in more if not (isinstance(item, Scalar) and item.value in names))
        return entry._replace(value=Sequence((*before, *more), entry.value.position))

    def _items(self, items: Iterable[Node], stack: tuple[_Place, ...]) -> _Template:
        steps: list[Node] = []
        services: list[Node] = []
        volumes: dict[str, Node] = {}
        for item in items:
            if not isinstance(item, Mapping) or not _is_include(item):
                steps.append(item)
                continue
            found = self._include(item, stack)
            # A step stands where it is included, for whoever asks for its line.
            steps += (_at(step, item.position) for step in found.steps)
            services += (_at(service, item.position) for service in found.services)
            volumes |= {one.value: one for one in found.volumes if isinstance(one, Scalar)}
        return _Template(tuple(steps), tuple(services), tuple(volumes.values()))

    def _include(self, item: Mapping, stack: tuple[_Place, ...]) -> _Template:
        """One template, with its own includes expanded; empty where it cannot be had."""
        keys = self._keys(item, "an include", ITEM_KEYS)
        path, ref = (self._text(keys, key) for key in ITEM_KEYS[:2])
        position = keys["include"].key.position
        if path is None or (ref is None and "ref" in keys):
            return _Template()
        place = _Place(path.value, ref.value if ref else stack[-1].ref if stack else "")
        if not self._is_allowed(place, path, ref or path):
            return _Template()
        if place in stack:
            way = " → ".join(str(one) for one in (*stack[stack.index(place) :], place))
            self.report.error("include-cycle", position, f"these include each other: {way}", "remove one of them")
            return _Template()
        if len(stack) >= DEPTH_LIMIT:
            self.report.error("too-deep", position, f"templates include each other more than {DEPTH_LIMIT} deep")
            return _Template()
        self.count += 1
        if self.count > FILES_LIMIT:
            self.report.error("too-large", position, f"more than {FILES_LIMIT} templates are included")
            return _Template()
        node = self._read(place, position)
        given = keys["with"].value if "with" in keys else None
        return self._template(node, given, place, stack, position) if isinstance(node, Mapping) else _Template()

    def _is_allowed(self, place: _Place, path: Scalar, ref: Scalar) -> bool:
        """Whether path and reference are nothing but names."""
        if len(place.path) > PATH_LIMIT or not _PATH.fullmatch(place.path) or ".." in place.path.split("/"):
            hint = "write the path of a .yml file in the project, from the folder of the pipeline on"
            self.report.error("bad-include", path.position, f'"{place.path}" is not the path of a template', hint)
            return False
        if place.ref and not _REF.fullmatch(place.ref):
            hint = "write the name of a tag or branch, or a whole commit"
            self.report.error("bad-include", ref.position, f'"{place.ref}" is not a reference of git', hint)
            return False
        return True

    def _read(self, place: _Place, position: Position) -> Node | None:
        """The template as a node."""
        if self.library is None:
            self.report.error("bad-include", position, "there is no project here whose templates could be read")
            return None
        try:
            data = self.library.read(place.path, place.ref)
        except LibraryError as error:
            self.report.error("bad-include", position, error.message, error.hint)
            return None
        self.bytes += len(data)
        if self.bytes > max(TEXT_LIMIT, len(data)):
            message = f"the included templates have more than {TEXT_LIMIT >> 20} MiB"
            self.report.error("too-large", position, message)
            return None
        try:
            source = read(data, str(place))
        except SourceError as error:
            file = self.report.include(error.source, position, is_the_projects=not place.ref)
            self.report.error(error.code, error.position._replace(file=file), error.message, error.hint)
            return None
        file = self.report.include(source, position, is_the_projects=not place.ref)
        for where, character in invisible(source):
            message = f"the character U+{ord(character):04X} is not seen, and may change how this line reads"
            here = where._replace(file=file)
            self.report.warning("invisible-character", here, message, "remove it", Edit(here, ""))
        failed = self.report.failed
        nodes = parse(source, self.report, file=file)
        if len(nodes) == 1 and isinstance(nodes[0], Mapping):
            return nodes[0]
        if nodes or failed or not self.report.failed:
            message = f"{place} is not one map of keys and values"
            self.report.error("bad-include", position, message, 'a template has "steps:", and a list below it')
        return None

    def _template(
        self, node: Mapping, given: Node | None, place: _Place, stack: tuple[_Place, ...], position: Position
    ) -> _Template:
        kept = tuple(entry for entry in node.entries if not entry.key.value.startswith("x-"))
        keys = self._keys(node._replace(entries=kept), f"the template {place}", TEMPLATE_KEYS)
        parameters = self._parameters(keys, given, place, position)
        lists: dict[str, tuple[Node, ...]] = {}
        for key in TEMPLATE_KEYS[1:]:
            value = keys[key].value if key in keys else Sequence((), node.position)
            if isinstance(value, Sequence):
                lists[key] = tuple(filled(item, parameters, self.report) for item in value.items)
            else:
                self.report.error("wrong-type", value.position, f'"{key}" of a template must be a list')
                lists[key] = ()
        self.values += sum(_size(item, NODE_LIMIT) for items in lists.values() for item in items)
        if self.values > NODE_LIMIT:
            self.report.error("too-large", position, f"the included templates have more than {NODE_LIMIT} values")
            return _Template()
        steps = tuple(item if _is_include(item) else with_variables(item, parameters) for item in lists["steps"])
        found = self._items(steps, (*stack, place))
        services = tuple(with_variables(item, parameters) for item in lists["services"])
        return _Template(found.steps, (*services, *found.services), (*lists["volumes"], *found.volumes))

    # Parameters

    def _parameters(
        self, keys: Map[str, Entry], given: Node | None, place: _Place, position: Position
    ) -> dict[str, Node]:
        """The values of a template's parameters: those given, and the defaults of the others."""
        declared = self._map(keys["parameters"].value, '"parameters"') if "parameters" in keys else {}
        values = self._map(given, '"with"') if given is not None else {}
        for name, entry in declared.items():
            try:
                variable(name)
            except BadValue as error:
                self.report.error(error.code, entry.key.position, error.message, error.hint)
        for name, entry in values.items():
            if name not in declared:
                hint = self.report.suggester.did_you_mean(name, declared)
                message = f'{place} has no parameter "{name}"'
                self.report.error("unknown-parameter", entry.key.position, message, hint)
        found: dict[str, Node] = {}
        for name, entry in declared.items():
            value = (values.get(name) or entry).value
            if isinstance(value, Scalar) and value.kind is Kind.NULL:
                message = f'{place} wants the parameter "{name}"'
                self.report.error("missing-parameter", position, message, f'write "with: {{{name}: …}}"')
                value = value._replace(value="", kind=Kind.TEXT)
            found[name] = value
        return found

    # Maps

    def _map(self, node: Node, what: str) -> dict[str, Entry]:
        if isinstance(node, Mapping):
            return {entry.key.value: entry for entry in node.entries}
        self.report.error("wrong-type", node.position, f"{what} must be a map of names to values")
        return {}

    def _keys(self, node: Mapping, what: str, known: tuple[str, ...]) -> dict[str, Entry]:
        """The entries of a map; those that are not known are reported."""
        present = {entry.key.value for entry in node.entries}
        for entry in node.entries:
            if entry.key.value not in known:
                hint = self.report.suggester.did_you_mean(entry.key.value, known)
                meant = self.report.suggester.sure(entry.key.value, known)
                fix = Edit(entry.key.position, meant) if meant and meant not in present else None
                message = f'unknown key "{entry.key.value}" in {what}'
                self.report.error("unknown-key", entry.key.position, message, hint, fix)
        return {entry.key.value: entry for entry in node.entries}

    def _text(self, keys: Map[str, Entry], key: str) -> Scalar | None:
        value = keys[key].value if key in keys else None
        if value is None or (isinstance(value, Scalar) and value.value):
            return value
        self.report.error("wrong-type", value.position, f'"{key}" must be a string')
        return None


def _is_include(node: Node) -> bool:
    return _value(node, "include") is not None


def _value(node: Node, key: str) -> Node | None:
    if not isinstance(node, Mapping):
        return None
    return next((entry.value for entry in node.entries if entry.key.value == key), None)


def _size(node: Node, limit: int) -> int:
    """The values of a tree, counted up to a limit: parameters may make it much larger than its text."""
    count, stack = 0, [node]
    while stack and count <= limit:
        one = stack.pop()
        count += 1
        if isinstance(one, Sequence):
            stack += one.items
        elif isinstance(one, Mapping):
            stack += (entry.value for entry in one.entries)
    return count


def _at(node: Node, position: Position) -> Node:
    return node._replace(position=position) if isinstance(node, Mapping) else node
