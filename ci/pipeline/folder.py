"""A pipeline of several files, as Woodpecker has it in `.woodpecker`: each file a Stage, named after it.

Pure. Called by `ci-run` and by the server with the names and texts of a folder's files. What is wrong in a file is
found by `loading`; here, what the files say of each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.pipeline import graph
from ci.pipeline.diagnostics import Report
from ci.pipeline.loading import Loaded, load
from ci.pipeline.source import Position, source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci.pipeline.diagnostics import Diagnostic


def load_folder(files: Sequence[tuple[str, bytes]], name: str) -> Loaded:
    """Read, and check, the files of a folder called `name`, given as pairs of name and text, in their order."""
    loaded = [load(data, filename) for filename, data in files]
    diagnostics: list[Diagnostic] = []
    for one in loaded:
        diagnostics += (*one.diagnostics, *_dependencies(one, loaded))
    if not files:
        report = Report(source(name, ""))
        hint = "the names of pipeline files end in .yml or .yaml"
        report.error("empty-file", Position(1, 1, 1, 1), "there is no pipeline file in the folder", hint)
        diagnostics += report.diagnostics
    documents = tuple(document for one in loaded for document in one.documents)
    return Loaded(filename=name, documents=documents, diagnostics=tuple(diagnostics))


def _dependencies(loaded: Loaded, all_loaded: Sequence[Loaded]) -> tuple[Diagnostic, ...]:
    """What is wrong with the names that a file's documents depend on, each mistake in one file only."""
    if loaded.source is None:
        return ()
    report = Report(loaded.source)
    written = {
        document.title: [text.value for text in document.depends_on] for one in all_loaded for document in one.documents
    }
    own = {document.title for document in loaded.documents}
    # One that depends on itself is found in its own file.
    cycles = [cycle for cycle in graph.cycles(written) if cycle[0] in own and len(cycle) > 1]
    for document in loaded.documents:
        for text in document.depends_on:
            if text.value not in written:
                message = f'"{document.title}" depends on "{text.value}", and there is no such file'
                hint = report.suggester.did_you_mean(text.value, written)
                report.error("unknown-dependency", text.position, message, hint)
            elif any(cycle[0] == document.title and text.value == cycle[1] for cycle in cycles):
                way = next(" → ".join((*cycle, cycle[0])) for cycle in cycles if cycle[0] == document.title)
                message = f"these wait for each other: {way}"
                report.error("dependency-cycle", text.position, message, "remove one of the dependencies")
    return report.diagnostics
