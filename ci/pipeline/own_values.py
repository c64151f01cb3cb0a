"""Values that a file itself holds, put into its text: those of a matrix cell, and the words of `${NAME:-word}`.

drone and Woodpecker replace in the text before it is YAML, so there a value may be a list (`[a, b]`), have quotes, or
be nothing at all. What an author writes may mean all that here, too: where such a value is more than plain characters,
the file is read anew with it in its place. What an event brings never comes into the text; that is put into the values
that were read (`filling`).

Called by `compile`, once for each matrix cell of a dialect that replaces in the whole file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ci.pipeline import dialects, envsubst
from ci.pipeline.diagnostics import Report, Severity
from ci.pipeline.filling import FillError
from ci.pipeline.lint import lint
from ci.pipeline.matrix import size
from ci.pipeline.source import Text, source
from ci.pipeline.substitution import SubstitutionError
from ci.pipeline.yaml import parse

if TYPE_CHECKING:
    from collections.abc import Collection
    from collections.abc import Mapping as Map

    from ci.pipeline.document import Document, Origin

READING_LIMIT = 4 * 1024 * 1024  # characters, of all cells together: some seconds

# What is the same in plain YAML and between quotes, wherever it stands: nothing in it is YAML's own.
_INSIDE = r"\w./+^=();<>?$@~%&*!|-"
_PLAIN = re.compile(
    rf"(?!(?:null|Null|NULL|~)\Z)(?:[\w./+^=(;<$]|[-~](?=\w))(?:[{_INSIDE}]|:(?=[\w/.])| (?=[{_INSIDE}]))*"
)
# What there must be, at least, for anything to be replaced: a default, or a name without a value.
_DEFAULT = re.compile(r"\$\{\w+:?[-=+?]")
_NAME = re.compile(r"\$\{#?(\w*)")
# An expression that is the whole of a value: then nothing in its place is no value.
_BEFORE = re.compile(r"(?:[:\[{,-]|^)[ \t]*$")
_AFTER = re.compile(r"[ \t]*(?:$|[,\]}#])")


def with_own_values(document: Document, cell: Map[str, str], foreign: Map[str, str]) -> Document:
    """The document with those of its own values that mean something to YAML; most often it is the same one.

    `foreign` are the variables that strangers may have written. Raises FillError where the file cannot be read with a
    value in it.
    """
    origin = document.origin
    if origin is None:
        return document
    text = origin.source.text
    strange = {name for name, value in foreign.items() if value and name not in cell}
    if (
        not _DEFAULT.search(text)
        and all(map(_PLAIN.fullmatch, cell.values()))
        and strange.union(cell).issuperset(_NAME.findall(text))
    ):
        return document
    replaced = _replaced(text, cell, strange)
    if replaced is None:
        return document
    if document.matrix and len(text) * size(document.matrix) > READING_LIMIT:
        where = Text("", document.matrix.position)
        raise FillError(
            where, "the file is too large to be read for each cell, with values that mean something to YAML"
        )
    return _read(origin, replaced)


def _replaced(text: str, cell: Map[str, str], strange: Collection[str]) -> str | None:
    """The text with all that is not plain; None where everything is."""
    parts: list[str] = []
    last = 0
    for start, end in envsubst.expressions(text):
        if _escaped(text, start):
            continue
        try:
            (parameter,) = envsubst.parse(text[start:end])
            if isinstance(parameter, str) or not parameter.names.isdisjoint(strange):
                continue
            value = envsubst.evaluate(parameter, cell.get)
        except (SubstitutionError, ValueError):  # ValueError: it is more than one expression, or none
            continue
        if _PLAIN.fullmatch(value) if value else not _whole(text, start, end):
            continue
        parts += (text[last:start], value.replace("$", "$$"))
        last = end
    return "".join((*parts, text[last:])) if last else None


def _escaped(text: str, start: int) -> bool:
    """Whether the `$` before a brace is the second of `$$`."""
    before = len(text[:start]) - len(text[max(0, start - 100) : start].rstrip("$")) - max(0, start - 100)
    return before % 2 == 1


def _whole(text: str, start: int, end: int) -> bool:
    line = text.rfind("\n", 0, start) + 1
    return bool(_BEFORE.search(text[line:start]) and _AFTER.match(text[end : end + 100].partition("\n")[0]))


def _read(origin: Origin, text: str) -> Document:
    """The document, read and checked again."""
    filename = origin.source.filename
    report = Report(source(filename, text))
    nodes = parse(report.source, report, expressions=True)
    documents = dialects.of(filename).read(nodes, report, filename)
    lint(documents, report)
    for one in report.diagnostics:
        if one.severity is Severity.ERROR:
            raise FillError(Text("", one.position), f"with the values in their places: {one.message}")
    if len(documents) <= origin.place:
        raise FillError(Text(""), "with the values in their places the document is no pipeline")
    return documents[origin.place]
