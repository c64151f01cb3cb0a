"""Variables in the words of instructions, replaced where their values are known: at the build, at a change of an image.

Source: docker's Dockerfile reference, "Environment replacement".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.dockerfile.diagnostics import Mistake
from sandbox.dockerfile.words import WordError, WordRules
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Expander(NamedTuple):
    """Replaces variables by the rules of one file; a text that cannot be read is a `Mistake` of the instruction."""

    escape: str

    def word(self, text: str, variables: Mapping[str, str]) -> str:
        """One word."""
        try:
            return WordRules(escape=self.escape).expand(text, variables).text
        except WordError as error:
            raise Mistake("variable", f"{error} (in {text[:80]!r})") from None

    def words(self, text: str, variables: Mapping[str, str]) -> tuple[str, ...]:
        """Split at blanks, those of the variables too."""
        try:
            return WordRules(escape=self.escape).expand(text, variables).words
        except WordError as error:
            raise Mistake("variable", f"{error} (in {text[:80]!r})") from None

    def document(self, text: str, variables: Mapping[str, str]) -> str:
        """The content of a here-document, where quotes mean nothing."""
        try:
            return WordRules(plain_quotes=True).expand(text, variables).text
        except WordError as error:
            raise Mistake("variable", f"{error} (in a here-document)") from None
