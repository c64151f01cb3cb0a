"""The door: a Dockerfile's bytes to stages of typed instructions, with every mistake in it.

The builder calls `parse` and then `require`, which turns mistakes into one error that lists them all; `--check` goes on
with what could be read. ONBUILD triggers of an image are parsed here too, when the image is built upon.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.dockerfile.arguments import Statement
from sandbox.dockerfile.diagnostics import Diagnostic, Mistake, Report, Severity, did_you_mean, render, summary
from sandbox.dockerfile.directives import Directives, read_directives
from sandbox.dockerfile.flags import FlagReader, split_flags, split_keyword
from sandbox.dockerfile.instructions import Arg, BuildStage, From, Instruction, OnBuild
from sandbox.dockerfile.lexer import read_lines
from sandbox.dockerfile.source import Source, Span
from sandbox.dockerfile.statements import INSTRUCTIONS, Fields
from sandbox.errors import InvalidError, LimitError

if TYPE_CHECKING:
    from sandbox.dockerfile.lexer import LogicalLine

SIZE_LIMIT = 4 << 20  # bytes; a Dockerfile that brings a file in a here-document is far below
_KEYWORDS = (*INSTRUCTIONS, "ONBUILD")
_NO_TRIGGERS = ("ONBUILD", "FROM", "MAINTAINER")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dockerfile:
    """A file that was read: global arguments, stages, and what was found wrong.

    `empty_continuations` are lines inside instructions that hold nothing.
    """

    source: Source
    directives: Directives
    global_args: tuple[Arg, ...]
    stages: tuple[BuildStage, ...]
    empty_continuations: tuple[int, ...]
    diagnostics: tuple[Diagnostic, ...]

    def require(self) -> Dockerfile:
        """The same, or InvalidError that shows every error of the file."""
        errors = [one for one in self.diagnostics if one.severity is Severity.ERROR]
        if errors:
            text = render(self.source, errors)
            raise InvalidError(f"{summary(errors)} in {self.source.name}\n{text.rstrip()}", reference="dockerfile")
        return self

    def mistaken(self, instruction: Instruction, mistake: Mistake) -> InvalidError:
        """What a mistake that shows only with the values of variables is to the user: the instruction, marked."""
        report = Report()
        report.error(mistake.code, instruction.span, mistake.message, mistake.hint)
        text = render(self.source, report.diagnostics)
        return InvalidError(f"{self.source.name} cannot be built\n{text.rstrip()}", reference="dockerfile")


def parse(data: bytes, name: str = "Dockerfile") -> Dockerfile:
    """Read a Dockerfile. Bytes that are no UTF-8 are kept (surrogateescape). LimitError for a file over
    `SIZE_LIMIT`.
    """
    if len(data) > SIZE_LIMIT:
        raise LimitError(f"{name} has more than {SIZE_LIMIT >> 20} MB", hint="is it a Dockerfile?")
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    source = Source(name, tuple(line.rstrip("\r") for line in text.split("\n")))
    report = Report()
    directives = read_directives(source, report)
    lines = read_lines(text, directives.escape, report, directives.lines)
    global_args: list[Arg] = []
    stages: list[tuple[From, list[Instruction]]] = []
    broken_from = False
    for line in lines:
        instruction = _read(line, directives.escape, report)
        if instruction is None:
            broken_from |= split_keyword(line.text)[0].upper() == "FROM"
        elif isinstance(instruction, From):
            stages.append((instruction, []))
        elif stages:
            stages[-1][1].append(instruction)
        elif isinstance(instruction, Arg):
            global_args.append(instruction)
        elif not broken_from:
            report.error(
                "no-stage",
                instruction.span,
                f"{instruction.name} stands before the first FROM",
                "only ARG may; begin with FROM",
            )
    if not lines:
        report.error("empty", Span(1, 1, 1, 1), "the file has no instructions")
    elif not stages and not report.diagnostics:
        report.error("no-stage", global_args[-1].span, "the file has no FROM", "begin a stage: FROM IMAGE")
    return Dockerfile(
        source=source,
        directives=directives,
        global_args=tuple(global_args),
        stages=tuple(
            BuildStage(number=n, base=base, instructions=tuple(rest)) for n, (base, rest) in enumerate(stages)
        ),
        empty_continuations=tuple(number for line in lines for number in line.empty_lines),
        diagnostics=report.diagnostics,
    )


def parse_instruction(text: str) -> Instruction:
    """One instruction outside of a file: a trigger of an image, a change. Mistake where it is none, or several."""
    report = Report()
    lines = read_lines(text, "\\", report)
    if len(lines) != 1:
        raise Mistake("arguments", "it is not one instruction")
    for diagnostic in report.diagnostics:
        raise Mistake(diagnostic.code, diagnostic.message, hint=diagnostic.hint)
    return _instruction(lines[0], "\\", 0)


def parse_trigger(text: str, name: str) -> Instruction:
    """An ONBUILD trigger that an image has. InvalidError names the image."""
    with suppress(Mistake):
        found = parse_instruction(text)
        if found.name not in _NO_TRIGGERS:
            return found
    raise InvalidError(f"image {name} has a trigger that is no instruction: {text[:80]!r}", reference="dockerfile")


def _read(line: LogicalLine, escape: str, report: Report) -> Instruction | None:
    try:
        return _instruction(line, escape, 0)
    except Mistake as mistake:
        report.error(mistake.code, line.span(mistake.start, mistake.end), mistake.message, mistake.hint)
        return None


def _instruction(line: LogicalLine, escape: str, start: int) -> Instruction:
    keyword, offset = split_keyword(line.text, start)
    begin = line.text.find(keyword, start)
    if keyword.upper() == "ONBUILD":
        return _on_build(line, escape, start, offset)
    make = INSTRUCTIONS.get(keyword.upper())
    if make is None:
        hint = did_you_mean(keyword, _KEYWORDS)
        raise Mistake(
            "unknown-instruction", f"unknown instruction {keyword!r}", hint=hint, start=begin, end=begin + len(keyword)
        )
    flags, arguments = split_flags(line.text, offset)
    reader = FlagReader(keyword.upper(), flags)
    statement = Statement(keyword, line.text[arguments:].rstrip(), arguments, reader, line.heredocs, escape)
    fields: Fields = {
        "keyword": keyword,
        "text": line.text[start:].strip(),
        "span": _span(line),
        "comments": line.comments,
    }
    result = make(statement, fields)
    reader.finish()
    return result


def _on_build(line: LogicalLine, escape: str, start: int, offset: int) -> Instruction:
    if start or not line.text[offset:].strip():
        raise Mistake("on-build", "ONBUILD requires an instruction" if not start else "ONBUILD cannot follow ONBUILD")
    inner = split_keyword(line.text, offset)[0]
    if inner.upper() in _NO_TRIGGERS:
        raise Mistake(
            "on-build", f"{inner.upper()} is not allowed as an ONBUILD trigger", start=offset, end=offset + len(inner)
        )
    instruction = _instruction(line, escape, offset)
    trigger = line.text[offset:].strip() + "".join(f"\n{one.content}{one.name}" for one in line.heredocs)
    keyword = split_keyword(line.text, start)[0]
    return OnBuild(
        keyword=keyword,
        text=line.text.strip(),
        span=_span(line),
        comments=line.comments,
        trigger=trigger,
        instruction=instruction,
    )


def _span(line: LogicalLine) -> Span:
    span = line.span()
    return span if line.end_line <= span.end_line else span._replace(end_line=line.end_line, end_column=1)
