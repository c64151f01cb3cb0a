"""Logical lines: continuations, comments, here-documents, and the places of characters."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sandbox.dockerfile.diagnostics import Report
from sandbox.dockerfile.lexer import LogicalLine, read_lines


def lines(text: str, escape: str = "\\") -> list[LogicalLine]:
    """The lines of a text without mistakes."""
    report = Report()
    found = read_lines(text, escape, report)
    assert not report.diagnostics
    return found


def test_comments_and_blank_lines_inside_an_instruction_do_not_end_it() -> None:
    """The rest goes on after them; blank ones are remembered for the check."""
    (line,) = lines("RUN a \\\n  # why\n  && b \\\n\n && c\n")
    assert line.text == "RUN a   && b  && c"
    assert (line.end_line, line.empty_lines) == (5, (4,))


def test_an_escaped_escape_does_not_continue() -> None:
    """Two escape characters at the end of a line are one character; blanks behind one do not matter."""
    assert [line.text for line in lines("RUN a\\\\\nRUN b \\  \n c\n")] == ["RUN a\\\\", "RUN b  c"]


def test_the_backtick_continues_where_it_is_the_escape() -> None:
    """And the backslash then does not."""
    assert [line.text for line in lines("RUN a `\n b\\\nRUN c", "`")] == ["RUN a  b\\", "RUN c"]


def test_line_ends_of_windows() -> None:
    """CRLF ends lines as LF does, and stays in here-documents."""
    (line,) = lines("COPY <<A /a\r\nx\r\nA\r\n")
    assert line.text == "COPY <<A /a"
    assert line.heredocs[0].content == "x\r\n"


def test_several_heredocs() -> None:
    """They follow each other in the order of their names; quotes forbid expansion, the dash takes tabs away."""
    (first, second) = lines('COPY <<-"A" <<B /d/\n\tx\n\tA\ny\nB\nRUN true\n')
    assert [(one.name, one.expand, one.text) for one in first.heredocs] == [("A", False, "x\n"), ("B", True, "y\n")]
    assert (first.end_line, second.text) == (5, "RUN true")


def test_what_is_no_heredoc() -> None:
    """The JSON form, other instructions and quoted words have none; ONBUILD's instruction may."""
    assert len(lines('RUN ["a", "<<A"]\nENV a=<<A\nRUN echo "<<A"\nRUN a <<<b\n')) == 4
    assert lines("ONBUILD RUN <<A\nx\nA\n")[0].heredocs[0].content == "x\n"


def test_an_unterminated_heredoc_is_a_mistake() -> None:
    """With the place where it begins."""
    report = Report()
    read_lines("FROM a\nRUN <<EOF\nx", "\\", report)
    assert [(one.code, one.span[:2]) for one in report.diagnostics] == [("unterminated-heredoc", (2, 5))]


def test_comments_above_belong_to_the_instruction() -> None:
    """Unless a blank line or an empty comment is between."""
    found = lines("# one\n# two\nARG a\n# three\n\nARG b\n# four\n#\nARG c\n")
    assert [line.comments for line in found] == [("one", "two"), (), ()]


def test_places_of_characters() -> None:
    """A character of the joined text is found in its own line and column."""
    (line,) = lines("\n  RUN a \\\n    bcd\n")
    assert line.place(line.text.index("RUN")) == (2, 3)
    assert line.place(line.text.index("bcd")) == (3, 5)
    assert line.place(line.text.index("d")) == (3, 7)


@given(st.lists(st.text(alphabet="abR \\\t#<'\"=-\r", max_size=12), max_size=12))
def test_places_are_those_of_the_characters(physical: list[str]) -> None:
    """Whatever the lines, each character of a logical line stands where its place says."""
    text = "\n".join(physical)
    for line in read_lines(text, "\\", Report()):
        for offset, character in enumerate(line.text):
            number, column = line.place(offset)
            assert physical[number - 1][column - 1] == character
