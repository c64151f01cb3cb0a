"""Here-documents: `<<NAME`, `<<-NAME`, `<<"NAME"`, several on a line.

The lexer finds their names in an instruction's line and takes the lines up to each name as their content. Only RUN,
COPY and ADD (also behind ONBUILD) have them, and only in the form that is not JSON. A name with a quote or an escape in
it means that variables in the content stay as they are. See "Here-Documents" in docker's Dockerfile reference.
"""

from __future__ import annotations

import re

from sandbox.dockerfile.words import WordError, WordRules
from sandbox.records import NamedTuple

_WORD = re.compile(r"(\d*)<<(-?)([^<]+)", re.DOTALL)
_PLAIN = WordRules(keep_unset=True)
_RAW = WordRules(keep_quotes=True, keep_escapes=True, keep_unset=True)
_TABS = re.compile(r"^\t+", re.MULTILINE)


class Heredoc(NamedTuple):
    """`content` is as it stands in the file, each line with its end; `text` is what it means."""

    name: str
    expand: bool
    strip_tabs: bool
    content: str = ""

    @property
    def text(self) -> str:
        """The content, without leading tabs where `<<-` asks for that."""
        return _TABS.sub("", self.content) if self.strip_tabs else self.content


def find_heredocs(line: str) -> list[Heredoc]:
    """The here-documents that a line announces, in order, without content."""
    if "<<" not in line:
        return []
    try:
        words = _RAW.expand(line).words
    except WordError:
        return []  # the instruction's own parser says what is wrong
    return [found for word in words if (found := read_heredoc(word)) is not None]


def read_heredoc(word: str) -> Heredoc | None:
    """A single word as a here-document, if it is one."""
    match = _WORD.fullmatch(word)
    if match is None:
        return None
    try:
        plain, raw = _PLAIN.expand(match[3]).words, _RAW.expand(match[3]).words
    except WordError:
        return None
    if len(plain) != 1 or "\n" in plain[0]:
        return None
    return Heredoc(name=plain[0], expand=plain == raw, strip_tabs=match[2] == "-")
