"""What our own dialect adds to steps and services, checked one container at a time, and whose outputs are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.pipeline import cachekey, graph, outputs, values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci.pipeline.diagnostics import Report
    from ci.pipeline.document import BuildUse, Document, Matrix, Step
    from ci.pipeline.lint.values import Values
    from ci.pipeline.source import Text

_SOURCE_HINT = 'write the stage, the step and the output: "plan/list.targets"'


def check_container(step: Step, check: Values) -> None:
    """Check the additions of a step or a service."""
    _check_waiting(step, check)
    for text in step.reports:
        check.check(text, values.artifact)
    if step.build is not None:
        _check_build(step, step.build, check)
    for cache in step.caches:
        for path in cache.paths:
            check.check(path, values.cached_path)
        for template in (cache.key, *cache.fallback):
            check.check(template, cachekey.template)
    taken = {variable.name.value for variable in step.environment} | {use.variable.value for use in step.secrets}
    for use in step.outputs:
        check.plain(use.output, outputs.reference)
        if check.plain(use.variable, values.variable) and use.variable.value in taken:
            message = f'the variable "{use.variable.value}" is set twice'
            check.report.error("duplicate-variable", use.variable.position, message, "remove one")


def _check_build(step: Step, build: BuildUse, check: Values) -> None:
    for key, value in (("image", step.image), *(("commands", text) for text in step.commands[:1])):
        if value is not None:
            message = f'a step that builds an image has no "{key}" of its own'
            check.report.error("build-and-commands", value.position, message, "make two steps of it")
    check.check(build.context, values.workspace_path)
    check.check(build.dockerfile, values.workspace_path)
    check.check(build.target)
    for arg in build.args:
        check.plain(arg.name, values.variable)
        check.check(arg.value)
    for text in build.tags:
        check.check(text, values.image)


def check_outputs(document: Document, report: Report) -> None:
    """That a step reads outputs only of steps that are over when it begins."""
    for service in document.services:
        for use in service.outputs:
            message = f'"{service.name.value}" is a service: it is started before any step has outputs'
            report.error("bad-output", use.output.position, message)
    if not any(step.outputs for step in document.steps):
        return
    before = graph.ancestors(document.dependencies())
    for step in document.steps:
        for use in step.outputs:
            try:
                source = outputs.reference(use.output.value).step
            except values.BadValue:
                continue  # said already
            if "/" in source:
                continue  # of another stage: `check_stages`
            if source not in before:
                hint = report.suggester.did_you_mean(source, before)
                report.error("unknown-output", use.output.position, f'there is no step "{source}"', hint)
            elif source not in before[step.name.value]:
                message = f'"{step.name.value}" does not wait for "{source}", whose output it reads'
                hint = f'write "depends_on: {source}"' if document.is_graph else "put it behind that step"
                report.error("bad-output", use.output.position, message, hint)


def later_names(matrix: Matrix | None) -> frozenset[str] | None:
    """The variables of a matrix that outputs give; None where they may have any name."""
    if matrix is None:
        return frozenset()
    return None if matrix.source else frozenset(axis.name.value for axis in matrix.axes if axis.source)


def check_stages(documents: Sequence[Document], report: Report) -> None:
    """That what is read of another stage, for a matrix or by a step, is of one that is over by then and ran once."""
    by_title = {document.title: document for document in documents}
    for document in documents:
        for text in document.matrix.sources if document.matrix else ():
            _check_source(text, document, by_title, report)
        for use in (use for step in document.steps for use in step.outputs):
            if "/" in use.output.value:
                _check_source(use.output, document, by_title, report)


def _check_source(text: Text, document: Document, by_title: Mapping[str, Document], report: Report) -> None:
    try:
        source, slash, step = outputs.reference(text.value).step.partition("/")
    except values.BadValue as error:
        report.error(error.code, text.position, error.message, _SOURCE_HINT)
        return
    other = by_title.get(source)
    if not slash or other is None:
        hint = report.suggester.did_you_mean(source, by_title) if slash else _SOURCE_HINT
        report.error("unknown-output", text.position, f'there is no stage "{source}" for this', hint)
    elif source not in {one.value for one in document.depends_on}:
        message = f'"{document.title}" does not wait for "{source}", whose output it reads'
        report.error("bad-output", text.position, message, f'write "depends_on: {source}"')
    elif step not in (names := [one.name.value for one in other.steps]):
        hint = report.suggester.did_you_mean(step, names)
        report.error("unknown-output", text.position, f'"{source}" has no step "{step}"', hint)
    elif other.matrix is not None:
        message = f'"{source}" has a matrix, so "{step}" writes an output for each cell'
        report.error("bad-output", text.position, message, "take it from a stage that runs once")


def _check_waiting(step: Step, check: Values) -> None:
    check.check(step.wait, values.duration)
    if step.healthcheck is not None:
        for text in step.healthcheck.command:
            check.check(text)
        check.check(step.healthcheck.interval, values.duration)
        check.check(step.healthcheck.timeout, values.duration)
    elif step.wait is not None and not step.ports:
        message = f'there is nothing to wait for: "{step.name.value}" has neither ports nor a healthcheck'
        check.report.warning("nothing-to-wait-for", step.wait.position, message, 'write "ports:" or "healthcheck:"')
