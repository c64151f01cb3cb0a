"""The front door: the text of a pipeline file → documents and everything that is wrong with it.

Called through `ci.pipeline.load` by `ci-run` and by the server. Nothing a file may hold raises; a file that cannot be
read at all is one diagnostic.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ci.errors import CiError
from ci.pipeline import dialects
from ci.pipeline.diagnostics import Report, Severity, render, summary
from ci.pipeline.document import Origin
from ci.pipeline.edits import Edit
from ci.pipeline.lint import lint
from ci.pipeline.source import Position, SourceError, invisible, read
from ci.pipeline.yaml import parse

if TYPE_CHECKING:
    from ci.pipeline.diagnostics import Diagnostic
    from ci.pipeline.document import Document
    from ci.pipeline.includes import Library
    from ci.pipeline.source import Source


class PipelineError(CiError):
    """A file with mistakes, where documents without any are needed.

    `diagnostics` are all of them, `str()` shows them.
    """

    reference = "bad-pipeline"

    def __init__(self, loaded: Loaded) -> None:
        super().__init__(f"{loaded.filename}: {summary(loaded.diagnostics)}", hint="ci-run lint shows them")
        self.diagnostics = loaded.diagnostics

    def rendered(self, *, colour: bool = False) -> str:
        """The diagnostics as text for a terminal."""
        return render(self.diagnostics, colour=colour)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A file that was read: `documents` may be compiled only if `ok`."""

    filename: str
    documents: tuple[Document, ...]
    diagnostics: tuple[Diagnostic, ...]
    source: Source | None = None  # None: it could not be read as text, or there are several

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings and infos do not count."""
        return not any(diagnostic.severity is Severity.ERROR for diagnostic in self.diagnostics)

    def require(self) -> tuple[Document, ...]:
        """The documents. Raises PipelineError where there is an error."""
        if not self.ok:
            raise PipelineError(self)
        return self.documents


def load(text: bytes | str, filename: str = ".ci.yml", library: Library | None = None) -> Loaded:
    """Read, and check, a pipeline file. `filename` is for messages only; templates come from the library."""
    try:
        source = read(text, filename)
    except SourceError as error:
        report = Report(error.source)
        report.error(error.code, error.position, error.message, error.hint)
        return Loaded(filename=filename, documents=(), diagnostics=report.diagnostics)
    report = Report(source)
    dialect = dialects.of(filename)
    for position, character in invisible(source):
        message = f"the character U+{ord(character):04X} is not seen, and may change how this line reads"
        report.warning("invisible-character", position, message, "remove it", Edit(position, ""))
    nodes = parse(source, report, expressions=dialect.whole_file)
    if not nodes and not report.failed:
        report.error(
            "empty-file", Position(1, 1, 1, 1), "the file is empty", 'begin with "steps:", and a list below it'
        )
    if dialect.includes and "include" in source.text:
        from ci.pipeline.includes import expand  # noqa: PLC0415  (few files include others)

        nodes = expand(nodes, report, library)
    documents = dialect.read(nodes, report, filename)
    if dialect.whole_file and "$" in source.text:
        documents = tuple(replace(document, origin=Origin(source, place)) for place, document in enumerate(documents))
    lint(documents, report)
    return Loaded(filename=filename, documents=documents, diagnostics=report.diagnostics, source=source)
