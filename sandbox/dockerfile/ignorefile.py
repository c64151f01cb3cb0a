"""`.dockerignore`: which files of a context do not belong to it. Also COPY's `--exclude`.

The last pattern that fits decides; `!` takes back. A pattern that fits a folder fits all in it. Source: docker's
"dockerignore files", moby's ignorefile and patternmatcher.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from sandbox.dockerfile.wildcard import WildcardError, has_wildcard, path_pattern
from sandbox.errors import InvalidError
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Matched = tuple[bool, ...]  # for each pattern, whether it fits a folder or one above it


class _Pattern(NamedTuple):
    fits: Callable[[str], bool]
    takes_back: bool


class IgnorePatterns:
    """Patterns in order. Paths are relative, with slashes, and clean."""

    def __init__(self, patterns: Iterable[str], origin: str = ".dockerignore") -> None:
        self._patterns = tuple(_read(pattern, origin) for pattern in patterns if pattern.strip())
        self.takes_back = any(pattern.takes_back for pattern in self._patterns)  # then ignored folders are looked into

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def ignores(self, path: str) -> bool:
        """Whether a file is left out."""
        matched: Matched | None = None
        parts = path.split("/")
        ignored = False
        for length in range(1, len(parts) + 1):
            ignored, matched = self.below("/".join(parts[:length]), matched)
        return ignored

    def below(self, path: str, parent: Matched | None) -> tuple[bool, Matched]:
        """`ignores` for a walk: with what was matched for the folder that the path is in; `None` at the top."""
        ignored = False
        result = []
        for number, pattern in enumerate(self._patterns):
            fits = bool(parent and parent[number]) or pattern.fits(path)
            result.append(fits)
            if fits:
                ignored = not pattern.takes_back
        return ignored, tuple(result)


def read_ignore_file(text: str, origin: str = ".dockerignore") -> IgnorePatterns:
    """The patterns of a file: one a line, `#` in the first column begins a comment. InvalidError names the pattern."""
    lines = text.removeprefix("\ufeff").splitlines()
    return IgnorePatterns((line for line in lines if not line.startswith("#")), origin)


def _read(text: str, origin: str) -> _Pattern:
    text = text.strip()
    takes_back = text.startswith("!")
    pattern = text[takes_back:].strip()
    if not pattern:
        raise InvalidError(f"{origin}: a pattern is only {text!r}")
    clean = posixpath.normpath(pattern).lstrip("/")
    try:
        return _Pattern(_matcher(clean), takes_back)
    except WildcardError as error:
        raise InvalidError(f"{origin}: {error}") from None


def _matcher(pattern: str) -> Callable[[str], bool]:
    rest = pattern.removeprefix("**")
    if not has_wildcard(pattern) and "\\" not in pattern:
        return lambda path: path == pattern
    if rest != pattern and not has_wildcard(rest) and "\\" not in rest:  # moby: the end of a path, of a name too
        return lambda path: path.endswith(rest) or path == rest.removeprefix("/")
    compiled = path_pattern(pattern)
    return lambda path: compiled.fullmatch(path) is not None
