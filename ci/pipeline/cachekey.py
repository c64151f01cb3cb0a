"""Keys of caches: texts with `{{ … }}` in them that only the workspace, or the machine, can fill in.

`{{ checksum "go.sum" }}` is a digest of the files that patterns choose, `{{ arch }}`, `{{ os }}` and `{{ branch }}` are
words, as in drone's cache plugins and CircleCI. Pure: who knows the files gives `render` the functions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ci.pipeline.glob import Glob, GlobError
from ci.pipeline.suggest import Suggester
from ci.pipeline.values import BadValue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

CHECKSUM = "checksum"
WORDS = ("arch", "branch", "os")
LENGTH_LIMIT = 500

_EXPRESSION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_ARGUMENT = re.compile(r'\s*(?:"([^"]*)"|([^\s"]+))')


class Call(NamedTuple):
    """A function of a key, with its arguments."""

    name: str
    arguments: tuple[str, ...] = ()


def parse(text: str) -> tuple[str | Call, ...]:
    """The parts of a key: texts, and what is to be filled in. Raises BadValue."""
    if not text or len(text) > LENGTH_LIMIT or not text.isprintable():
        raise BadValue("bad-cache", f"a key has one line of 1 to {LENGTH_LIMIT} characters")
    parts: list[str | Call] = []
    end = 0
    for match in _EXPRESSION.finditer(text):
        parts += [text[end : match.start()], _call(match[1])]
        end = match.end()
    parts.append(text[end:])
    if any(isinstance(part, str) and ("{{" in part or "}}" in part) for part in parts):
        raise BadValue("bad-cache", f'"{text}" has a "{{{{" or "}}}}" without the other', 'write "{{ checksum FILE }}"')
    return tuple(part for part in parts if part)


def template(text: str) -> str:
    """The text itself where it is a key. Raises BadValue."""
    parse(text)
    return text


def is_fixed(parts: Sequence[str | Call]) -> bool:
    """Whether what is kept under such a key never has to be kept anew: the key says what is in it."""
    return any(isinstance(part, Call) and part.name == CHECKSUM for part in parts)


def render(parts: Sequence[str | Call], words: Mapping[str, str], checksum: Callable[[tuple[str, ...]], str]) -> str:
    """The key. What `checksum` raises is passed on; a word without a value is empty."""
    return "".join(
        part
        if isinstance(part, str)
        else checksum(part.arguments)
        if part.name == CHECKSUM
        else words.get(part.name, "")
        for part in parts
    )


def _call(text: str) -> Call:
    name, _, rest = text.strip().partition(" ")
    arguments = tuple(quoted or bare for quoted, bare in _ARGUMENT.findall(rest))
    if name == CHECKSUM:
        if not arguments:
            raise BadValue("bad-cache", '"checksum" names no file', 'write "{{ checksum package-lock.json }}"')
        for argument in arguments:
            if argument.startswith("/") or ".." in argument.split("/"):
                raise BadValue("bad-cache", f'"{argument}" is not in the workspace')
            try:
                Glob(argument)
            except GlobError as error:
                raise BadValue("bad-cache", f'"{argument}" is not a pattern: {error}') from None
    elif name not in WORDS:
        hint = Suggester().did_you_mean(name, (CHECKSUM, *WORDS)) or f"there are: {', '.join((CHECKSUM, *WORDS))}"
        raise BadValue("bad-cache", f'a key has no "{name}"', hint)
    elif arguments:
        raise BadValue("bad-cache", f'"{name}" takes no argument')
    return Call(name, arguments)
