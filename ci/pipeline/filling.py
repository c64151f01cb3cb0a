"""A document with the values of variables in it: what `${…}` stands for, in every text of the file.

For the dialects that replace it in the whole file. Called by `compile`, once for each matrix cell, with the variables
of the event and the cell; values of the cell that mean something to YAML are in their places already (`own_values`).
The document is walked as a tree of records, so a field that is new in `document` needs nothing here.

Commands are the one place where a value would be read again, by a shell: a branch called `$(id)` must not become a
command. What an event brings (its names are `foreign`) and means something to a shell is therefore not written into
the command but left to the shell to read: `${NAME}` stays, with the same value in the environment, and an expression
with an operator becomes a variable of its own.
"""

from __future__ import annotations

import re
from dataclasses import is_dataclass, replace
from operator import is_
from typing import TYPE_CHECKING, Any, TypeVar

from ci.pipeline import envsubst
from ci.pipeline.document import Document, Origin, Step, Variable
from ci.pipeline.nodes import Kind, Scalar
from ci.pipeline.rules import Rules
from ci.pipeline.source import Position, Text
from ci.pipeline.substitution import SubstitutionError
from ci.pipeline.yaml import kind_of, written_plainly

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from collections.abc import Mapping as Map

T = TypeVar("T")

_LEAVES = frozenset((str, bool, Position, Rules, Origin))

_HARMLESS = re.compile(r"[A-Za-z0-9_./:@%+=,^~-]*", re.ASCII)
_VARIABLE = "CI_VALUE_{}"


class FillError(ValueError):
    """An expression that is not understood, at `text`."""

    def __init__(self, text: Text, message: str) -> None:
        super().__init__(message)
        self.text = text
        self.message = message


def filled(document: Document, values: Map[str, str], foreign: Iterable[str]) -> Document:
    """The document with all of `values` in it; what has no value is nothing. Raises FillError.

    `foreign` are the names of values that strangers may have written.
    """
    return _Filler(values, foreign).fill(document)


class _Filler:
    """Fills one document."""

    def __init__(self, values: Map[str, str], foreign: Iterable[str]) -> None:
        self.values = values
        self.foreign = frozenset(foreign)

    def fill(self, value: T) -> T:
        """The same value, all texts in it filled."""
        return self._filled(value)  # type: ignore[no-any-return]

    def _filled(self, value: Any) -> Any:  # noqa: PLR0911  (one for each kind of record)
        """The value itself where nothing in it changes: most of a document is shared with the one that was read."""
        kind = type(value)
        if kind is Text:
            return self._text(value)
        if value is None or kind in _LEAVES:
            return value
        if kind is Step:
            return self._step(value)
        if kind is Scalar:
            return self._scalar(value)
        if isinstance(value, tuple):
            parts = tuple(map(self._filled, value))
            if all(map(is_, parts, value)):
                return value
            return parts if kind is tuple else value._make(parts)  # type: ignore[attr-defined]
        if isinstance(value, dict):
            found = {key: self._filled(part) for key, part in value.items()}
            return value if all(map(is_, found.values(), value.values())) else found
        return _changed(value, self._changes(value)) if is_dataclass(value) else value

    def _changes(self, record: Any, but: Collection[str] = ()) -> dict[str, Any]:
        """The fields of a record that are not what they were; most have nothing in them, and are passed over."""
        changes: dict[str, Any] = {}
        for name in record.__dataclass_fields__:
            before = getattr(record, name)
            if before and name not in but:
                fill = self._environment if name == "environment" else self._filled
                if (after := fill(before)) is not before:
                    changes[name] = after
        return changes

    def _text(self, text: Text) -> Text:
        if "$" not in text.value:
            return text
        try:
            return Text(envsubst.expand(text.value, self.values.get), text.position)
        except SubstitutionError as error:
            raise FillError(text.part(error.start, error.end), error.message) from None

    def _environment(self, environment: tuple[Variable, ...]) -> tuple[Variable, ...]:
        """Without those whose value, written without quotes, turns out to be none at all: they are not set."""
        found = []
        for one in environment:
            after = self._filled(one)
            changed = after.value is not one.value
            if not (changed and written_plainly(one.value) and kind_of(after.value.value) is Kind.NULL):
                found.append(after)
        return environment if len(found) == len(environment) and all(map(is_, found, environment)) else tuple(found)

    def _scalar(self, scalar: Scalar) -> Scalar:
        if "$" not in scalar.value:
            return scalar
        value = self._text(scalar.text).value
        return scalar._replace(value=value, kind=kind_of(value) if written_plainly(scalar) else Kind.TEXT)

    def _step(self, step: Step) -> Step:
        made: list[Variable] = []
        scripts = ["commands"]
        if any(text.value == "-c" for text in (*step.entrypoint, *step.arguments)):
            scripts += ["entrypoint", "arguments"]  # the words of an interpreter
        changes: dict[str, Any] = {}
        for name in scripts:
            before = getattr(step, name)
            after = tuple(self._command(text, made) for text in before)
            if after != before:
                changes[name] = after
        changes |= self._changes(step, but=scripts)
        if made:
            changes["environment"] = (*changes.get("environment", step.environment), *made)
        return _changed(step, changes)

    def _command(self, text: Text, made: list[Variable]) -> Text:
        """A command. What it needs as variables of its own is added to `made`."""
        if "$" not in text.value:
            return text
        try:
            parts = [
                part if isinstance(part, str) else self._for_shell(part, text, made)
                for part in envsubst.parse(text.value)
            ]
        except SubstitutionError as error:
            raise FillError(text.part(error.start, error.end), error.message) from None
        return Text("".join(parts), text.position)

    def _for_shell(self, parameter: envsubst.Parameter, text: Text, made: list[Variable]) -> str:
        value = envsubst.evaluate(parameter, self.values.get)
        if _HARMLESS.fullmatch(value) or self.foreign.isdisjoint(parameter.names):
            return value
        if not parameter.operator:
            return f"${{{parameter.name}}}"
        name = _VARIABLE.format(len(made) + 1)
        made.append(Variable(name=Text(name, text.position), value=Text(value, text.position)))
        return f"${{{name}}}"


def _changed(record: T, changes: Map[str, Any]) -> T:
    """The record itself where nothing changes: replacing takes longer than looking."""
    return replace(record, **changes) if changes else record  # type: ignore[type-var]
