"""Names and who names whom: of steps in a document, and of documents in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.pipeline import graph
from ci.pipeline.source import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ci.pipeline.diagnostics import Report
    from ci.pipeline.document import Document

_CYCLE_SHOWN = 12


def check_steps(document: Document, report: Report) -> None:
    """Names that are there twice; dependencies on what is not there, on itself, in a circle."""
    services = [service.name for service in document.services]
    cloning = [step.name for step in document.clone.steps]
    _check_unique([*cloning, *(step.name for step in document.steps), *services], "the name", report)
    if not document.is_graph:
        return
    names = dict.fromkeys(step.name.value for step in document.steps)
    dependencies: dict[str, list[Text]] = {name: [] for name in names}
    for step in document.steps:
        name = step.name.value
        for text in step.depends_on or ():
            dependencies[name].append(text)
            if text.value in names or text in step.optional or "${" in text.value:
                continue
            if any(service.value == text.value for service in services):
                message, hint = (
                    f'"{text.value}" is a service',
                    "services are started before the first step: remove it",
                )
            else:
                message = f'"{name}" depends on "{text.value}", and there is no such step'
                hint = report.suggester.did_you_mean(text.value, names)
            report.error("unknown-dependency", text.position, message, hint)
    _check_cycles(dependencies, report)


def check_documents(documents: Sequence[Document], report: Report) -> None:
    """The same for the documents of a file; and that each of several has a name."""
    if len(documents) > 1:
        for document in documents:
            if document.name is None and not document.rules.lenient:
                hint = 'each document of a file with several needs one: write "name:"'
                report.error("missing-name", document.position, "the document has no name", hint)
    names = dict.fromkeys(document.title for document in documents)
    # In a lenient dialect one without a name has the usual one.
    named = [
        document.name or Text(document.title, document.position)
        for document in documents
        if document.name or document.rules.lenient
    ]
    _check_unique(named, "a document named", report)
    for document in documents:
        for text in document.depends_on:
            if text.value not in names and not document.rules.others_by_file:
                message = f'"{document.title}" depends on "{text.value}", and there is no such document'
                hint = report.suggester.did_you_mean(text.value, names) or "this names documents of the file, not steps"
                report.error("unknown-dependency", text.position, message, hint)
    _check_cycles({document.title: document.depends_on for document in documents}, report)


def _check_unique(names: Iterable[Text], word: str, report: Report) -> None:
    first: dict[str, Text] = {}
    for text in names:
        if not text.value:
            continue
        if text.value in first:
            message = f'{word} "{text.value}" is taken, in line {first[text.value].position.line}'
            report.error("duplicate-name", text.position, message, "names are unique in a document, services' included")
        first.setdefault(text.value, text)


def _check_cycles(dependencies: Mapping[str, Sequence[Text]], report: Report) -> None:
    for cycle in graph.cycles({name: [text.value for text in targets] for name, targets in dependencies.items()}):
        text = next(text for text in dependencies[cycle[0]] if text.value == cycle[1 % len(cycle)])
        if len(cycle) == 1:
            report.error("dependency-cycle", text.position, f'"{cycle[0]}" depends on itself', "remove it")
            continue
        shown = cycle if len(cycle) <= _CYCLE_SHOWN else (*cycle[:_CYCLE_SHOWN], "…")
        way = " → ".join((*shown, cycle[0]))
        report.error(
            "dependency-cycle", text.position, f"these wait for each other: {way}", "remove one of the dependencies"
        )
