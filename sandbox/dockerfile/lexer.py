"""Lines of the file to logical lines: continuations joined, comments taken out, here-documents attached.

A logical line is one instruction. It knows where each of its characters stands in the file, so that later mistakes are
shown there. The rules are BuildKit's: a comment or an empty line inside a continued instruction does not end it; an
escape character that is itself escaped does not continue a line; a comment directly above an instruction belongs to it.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from sandbox.dockerfile.flags import split_flags, split_keyword
from sandbox.dockerfile.heredoc import Heredoc, find_heredocs
from sandbox.dockerfile.jsonform import json_words
from sandbox.dockerfile.source import Span, is_space
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from sandbox.dockerfile.diagnostics import Report

_WITH_HEREDOCS = ("ADD", "COPY", "RUN")


class LogicalLine(NamedTuple):
    """One instruction's text.

    `anchors` are (offset, line, column): from that offset on the text stands at that place of the file. `end_line` is
    the last line, with here-documents. `empty_lines` are the lines of empty continuations. `comments` stand directly
    above, without their `#`.
    """

    text: str
    anchors: tuple[tuple[int, int, int], ...]
    end_line: int
    comments: tuple[str, ...]
    empty_lines: tuple[int, ...]
    heredocs: tuple[Heredoc, ...]

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column of a character of the text."""
        start, line, column = self.anchors[max(0, bisect_right(self.anchors, (offset, 1 << 60, 0)) - 1)]
        return line, column + max(0, offset - start)

    def span(self, start: int = -1, end: int = -1) -> Span:
        """Where `text[start:end]` stands; by default the whole text."""
        begin = self.place(max(0, start))
        last = (end if end >= 0 else len(self.text.rstrip())) - 1
        line, column = self.place(max(last, start, 0))
        return Span(*begin, line, column + 1)


def read_lines(text: str, escape: str, report: Report, number: int = 0) -> list[LogicalLine]:
    """Every instruction of the text behind its first `number` lines, in order.

    What is wrong with a here-document goes into the report.
    """
    physical = text.split("\n")
    ends = ["\n"] * (len(physical) - 1) + [""]
    result: list[LogicalLine] = []
    comments: list[str] = []
    while number < len(physical):
        line = _left(physical[number])
        if line.startswith("#"):
            comment = line[1:].strip()
            comments = [*comments, comment] if comment else []
            number += 1
            continue
        if not line.rstrip("\r"):
            comments = []
            number += 1
            continue
        logical, number = _join(physical, number, escape)
        logical = logical._replace(comments=tuple(comments))
        comments = []
        if "<<" in logical.text and _takes_heredocs(logical.text):
            heredocs = []
            for heredoc in find_heredocs(logical.text):
                content, number, closed = _content(physical, ends, number, heredoc)
                heredocs.append(heredoc._replace(content=content))
                if not closed:
                    start = logical.text.find("<<")
                    hint = f"a line that is only {heredoc.name} ends it"
                    report.error(
                        "unterminated-heredoc",
                        logical.span(start, start + 2),
                        f"here-document {heredoc.name!r} has no end",
                        hint,
                    )
            logical = logical._replace(heredocs=tuple(heredocs), end_line=number)
        if logical.text.strip():
            result.append(logical)
    return result


def _join(physical: list[str], number: int, escape: str) -> tuple[LogicalLine, int]:
    """The logical line that begins at index `number`, and the index behind it."""
    parts: list[str] = []
    anchors: list[tuple[int, int, int]] = []
    empty: list[int] = []
    length, continued, first = 0, True, True
    while continued and number < len(physical):
        line = physical[number].rstrip("\r")
        number += 1
        stripped = _left(line)
        if not first and (not stripped or stripped.startswith("#")):
            if not stripped and number < len(physical):
                empty.append(number)
            continue
        kept = stripped if first else line
        first = False
        column = len(line) - len(kept) + 1
        kept, continued = _continuation(kept, escape)
        anchors.append((length, number, column))
        parts.append(kept)
        length += len(kept)
    return LogicalLine("".join(parts), tuple(anchors), number, (), tuple(empty), ()), number


def _continuation(line: str, escape: str) -> tuple[str, bool]:
    bare = line.rstrip(" \t")
    if not bare.endswith(escape) or bare.endswith(escape * 2):
        return line, False
    return bare[:-1], True


def _left(line: str) -> str:
    start = 0
    while start < len(line) and is_space(line[start]):
        start += 1
    return line[start:]


def _takes_heredocs(text: str) -> bool:
    keyword, offset = split_keyword(text)
    if keyword.upper() == "ONBUILD":
        text = text[offset:]
        keyword, offset = split_keyword(text)
    if keyword.upper() not in _WITH_HEREDOCS:
        return False
    _, start = split_flags(text, offset)
    return json_words(text[start:]) is None


def _content(physical: list[str], ends: list[str], number: int, heredoc: Heredoc) -> tuple[str, int, bool]:
    """The lines from index `number` up to the one that is the name; the index behind it; whether there was one."""
    content: list[str] = []
    while number < len(physical):
        line = physical[number]
        possible = line.rstrip("\r")
        if (possible.lstrip("\t") if heredoc.strip_tabs else possible) == heredoc.name:
            return "".join(content), number + 1, True
        content.append(line + ends[number])
        number += 1
    return "".join(content), number, False
