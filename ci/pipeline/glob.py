"""Glob patterns for branches, tags, paths and the other facts of a condition.

The language is that of doublestar, which drone and Woodpecker use: `*` any characters but `/`, `**` as a whole part of
a path any number of parts, none included (`a/**` matches `a` itself too), `?` one character but `/`, `[a-z]`, `[!a-z]`
or `[^a-z]` one character but `/`, `{a,b}` one of these, `\\` takes the next character as it is.

Patterns come from strangers, so nothing here can run away: a pattern becomes a small nondeterministic automaton
(Thompson's), which reads the text once. The sets of states are remembered as the text is read, up to a limit, so that
10,000 changed files are matched at about the speed of a dictionary look-up per character.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LENGTH_LIMIT = 250  # characters of a pattern; each is a state or two
_REMEMBERED = 2000  # transitions; then they are forgotten, and found anew
_ACCEPT = -1


class GlobError(ValueError):
    """The pattern is not well-formed; the message says why."""


class Glob:
    """A compiled pattern. Raises GlobError. `matches` always looks at the whole text."""

    def __init__(self, pattern: str) -> None:
        if len(pattern) > LENGTH_LIMIT:
            raise GlobError(f"a pattern may have {LENGTH_LIMIT} characters")
        self.pattern = pattern
        self._literal = not any(character in "*?[]{}\\" for character in pattern)
        # State n reads a character for which _reads[n] holds and goes to n + 1 … or jumps, without reading, to
        # _jumps[n].
        self._reads: list[Callable[[str], bool] | None] = []
        self._jumps: list[list[int]] = []
        self._known: dict[tuple[frozenset[int], str], frozenset[int]] = {}
        if not self._literal:
            _Parser(pattern, self._reads, self._jumps).parse()

    def matches(self, text: str) -> bool:
        """Whether the whole text fits."""
        if self._literal:
            return text == self.pattern
        states = self._closure([0])
        for character in text:
            if not states:
                return False
            key = (states, character)
            found = self._known.get(key)
            if found is None:
                found = self._closure([n + 1 for n in states if (reads := self._reads[n]) and reads(character)])
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()
                self._known[key] = found
            states = found
        return len(self._reads) - 1 in states

    def _closure(self, states: list[int]) -> frozenset[int]:
        """The states that are reached without reading."""
        reached = set(states)
        todo = list(states)
        while todo:
            for target in self._jumps[todo.pop()]:
                if target not in reached:
                    reached.add(target)
                    todo.append(target)
        return frozenset(reached)


def _no_slash(character: str) -> bool:
    return character != "/"


def _any(_: str) -> bool:
    return True


class _Parser:
    """Recursive-free parser of a pattern into states; the last state accepts."""

    def __init__(self, pattern: str, reads: list[Callable[[str], bool] | None], jumps: list[list[int]]) -> None:
        self.pattern = pattern
        self.at = 0
        self.reads = reads
        self.jumps = jumps
        # One entry for each open `{`: the state it begins at, and the states that end its alternatives.
        self.groups: list[tuple[int, list[int]]] = []

    def parse(self) -> None:
        pattern = self.pattern
        while self.at < len(pattern):
            character = pattern[self.at]
            self.at += 1
            if character == "*":
                self._star()
            elif character == "?":
                self._read(_no_slash)
            elif character == "[":
                self._read(self._class())
            elif character == "{" or (character in ",}" and self.groups):
                self._group(character)
            elif character == "/" and self._last_parts():
                # "/**" at the end: nothing, or a "/" and any characters.
                start = self._state()
                self.jumps[start].append(start + 1)
                self._literal("/")
                self._star()
                self.jumps[start].append(len(self.reads))
            elif character == "\\":
                if self.at == len(pattern):
                    raise GlobError('a "\\" at the end of a pattern')
                self._literal(pattern[self.at])
                self.at += 1
            else:
                self._literal(character)
        if self.groups:
            raise GlobError('a "{" without its "}"')
        self._state()

    def _state(self, reads: Callable[[str], bool] | None = None) -> int:
        self.reads.append(reads)
        self.jumps.append([])
        return len(self.reads) - 1

    def _read(self, reads: Callable[[str], bool]) -> None:
        self._state(reads)

    def _literal(self, character: str) -> None:
        self._state(lambda other: other == character)

    def _group(self, character: str) -> None:
        """A `{`, `,` or `}`: alternatives begin at jumps of the group's first state and end in jumps to behind it."""
        if character == "{":
            self.groups.append((self._state(), []))
        elif character == ",":
            self.groups[-1][1].append(self._state())
        else:
            for end in self.groups.pop()[1]:
                self.jumps[end].append(len(self.reads))
            return
        self.jumps[self.groups[-1][0]].append(len(self.reads))

    def _last_parts(self) -> bool:
        """Whether "**", and then nothing more of this alternative, is next."""
        after = self.at + 2
        return self.pattern[self.at : after] == "**" and (after == len(self.pattern) or self.pattern[after] in "},")

    def _star(self) -> None:
        """One or more "*", of which at least the first may have been passed already."""
        pattern = self.pattern
        begin = self.at
        while begin and pattern[begin - 1] == "*":
            begin -= 1
        while self.at < len(pattern) and pattern[self.at] == "*":
            self.at += 1
        whole = (
            self.at - begin == 2
            and (begin == 0 or pattern[begin - 1] in "/{,")
            and (self.at == len(pattern) or pattern[self.at] in "/},")
        )
        if not whole:
            self._loop(_no_slash)
        elif self.at < len(pattern) and pattern[self.at] == "/":
            # "**/": nothing, or any characters and then a "/".
            self.at += 1
            start = self._state()
            self.jumps[start].append(start + 1)
            self._loop(_any)
            self._literal("/")
            self.jumps[start].append(len(self.reads))
        else:
            self._loop(_any)

    def _loop(self, reads: Callable[[str], bool]) -> None:
        """Any number of characters: a state that reads one and comes back, and that can be left at any time."""
        start = self._state(reads)
        back = self._state()
        self.jumps[start].append(back + 1)
        self.jumps[back].append(start)

    def _class(self) -> Callable[[str], bool]:
        pattern = self.pattern
        negated = self.at < len(pattern) and pattern[self.at] in "!^"
        self.at += negated
        ranges: list[tuple[str, str]] = []
        first = True
        while True:
            if self.at >= len(pattern):
                raise GlobError('a "[" without its "]"')
            if pattern[self.at] == "]" and not first:
                break
            first = False
            low = self._class_character()
            high = low
            if self.at + 1 < len(pattern) and pattern[self.at] == "-" and pattern[self.at + 1] != "]":
                self.at += 1
                high = self._class_character()
                if high < low:
                    raise GlobError(f'the range "{low}-{high}" is the wrong way round')
            ranges.append((low, high))
        self.at += 1
        return lambda other: other != "/" and any(low <= other <= high for low, high in ranges) != negated

    def _class_character(self) -> str:
        character = self.pattern[self.at]
        self.at += 1
        if character == "\\":
            if self.at >= len(self.pattern):
                raise GlobError('a "[" without its "]"')
            character = self.pattern[self.at]
            self.at += 1
        return character
