"""What the YAML parser says about a text it cannot read, as a diagnostic that a user understands. Called by `yaml`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ci.pipeline.source import Position, lookalike

if TYPE_CHECKING:
    from yaml import MarkedYAMLError

    from ci.pipeline.diagnostics import Report
    from ci.pipeline.source import Source

# What the parser says → what to do about it.
_HINTS = (
    ("mapping values are not allowed", 'a value that contains ": " must be quoted; or is the indentation wrong?'),
    ("cannot start any token", "quote the value, or remove the character"),
    ("did not find expected key", "check the indentation, and that every quote is closed"),
    ("could not find expected ':'", 'a key is followed by ":" and a space'),
    ("did not find expected '-' indicator", 'every item of a list begins with "- ", in one column'),
    ("did not find expected ',' or ']'", 'a value that contains "[", "]", "," or "#" must be quoted'),
    ("did not find expected ',' or '}'", 'a value that contains "{", "}", "," or "#" must be quoted'),
    ("invalid Unicode character escape", "the escape is half of a character: write the character itself"),
    ("unknown escape character", 'in double quotes a backslash is written "\\\\"; single quotes take it as it is'),
    ("block sequence entries are not allowed", 'a list begins on a line of its own, each item with "- "'),
    ("did not find expected alphabetic", 'a value that begins with "*" or "&" must be quoted'),
    ("undefined tag handle", 'a value that begins with "!" must be quoted'),
)

_UNENDED = {
    "while parsing a flow sequence": 'this list has a "[" without its "]"',
    "while parsing a flow mapping": 'this map has a "{" without its "}"',
    "while parsing a flow node": 'a "[" or a "{" is not closed before the file ends',
    "while scanning a quoted scalar": "this value has one quote and not the other",
}


def report_syntax(error: MarkedYAMLError, source: Source, report: Report, file: int = 0) -> None:
    """One diagnostic for what the parser could not read: at the place to mend and in our words, where we know them."""
    problem, context = error.problem or "no YAML", error.context or ""
    line, column = _place(error.problem_mark or error.context_mark)
    text = source.lines[line - 1] if line <= len(source.lines) else ""
    hint = next((hint for words, hint in _HINTS if words in problem), "")
    message = problem
    began = error.context_mark
    if "cannot start any token" in problem:
        character = text[column - 1 : column]
        message = f'a value cannot begin with "{character}"'
        if character == "\t":
            message, hint = "a tab cannot indent", "indent with spaces"
    elif began and "could not find expected ':'" in problem:
        line, column = _place(began)
        message = 'this is not a "key: value"'
    elif began and ("end of stream" in problem or line > len(source.lines) or not text.strip()):
        # Noticed at the end of the file; where that began which has no end is of more use.
        line, column = _place(began)
        if line > len(source.lines):
            line, column = len(source.lines), max(1, len(source.lines[-1]))
        message = _UNENDED.get(context, f"{context.removeprefix('while ')}: it does not end")
    elif began and began.line + 1 != line:
        message = f"{problem}, {context} (line {began.line + 1})"
    hint = _lookalike_near(source, line) or hint
    report.error("yaml-syntax", Position(line, column, line, column + 1, file), message, hint)


def _lookalike_near(source: Source, line: int) -> str:
    """What is said of a character that is not what it looks like, on the line of a mistake or the one before."""
    for number in (line, line - 1):
        if 1 <= number <= len(source.lines) and not source.lines[number - 1].isascii():
            found = lookalike(source.lines[number - 1])
            if found:
                return found if number == line else f"line {number}: {found}"
    return ""


def _place(mark: Any) -> tuple[int, int]:
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)
