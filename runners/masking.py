"""Secrets in a step's output are replaced by stars before anybody sees them.

A `Masker` works on one stream of bytes as it comes, in chunks cut anywhere: a secret that begins in one chunk and
ends in the next is found. `runners.stage` puts one between each step's pipe and whatever shows or keeps the log.
"""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING
from urllib.parse import quote_from_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STARS = b"********"
SHORTEST = 4  # characters; a shorter line ("{", "on") would blank half of every log
_SHORTEST_BASE64 = 8  # characters, for the same reason
_BASE64_LINE = 76  # characters, after which base64(1) and MIME begin a new line
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def mask_patterns(secrets: Iterable[str]) -> tuple[bytes, ...]:
    """What to look for: each line of each secret, without surrounding blanks, that has at least four characters.

    Lines, because tools print a multi-line secret indented, quoted or one line at a time; the whole as JSON has it,
    which is how a plugin is given one inside of a setting; and what becomes of the whole in base64 and in URLs. Longest
    first.
    """
    found: set[bytes] = set()
    for secret in secrets:
        lines = [text for line in secret.splitlines() if len(text := line.strip()) >= SHORTEST]
        if lines:
            found.update(text.encode("utf-8", "surrogateescape") for text in (*lines, json_text(secret)[1:-1]))
            found.update(_encoded(secret.strip().encode("utf-8", "surrogateescape")))
    return tuple(sorted(found, key=lambda pattern: (-len(pattern), pattern)))


def _encoded(secret: bytes) -> Iterator[bytes]:
    """A secret in base64 (RFC 4648), wherever it begins in what is encoded, and in URLs (RFC 3986)."""
    for before in range(3):
        # Characters that a neighbour's bits are in as well are left out at both ends.
        text = binascii.b2a_base64(b"\0" * before + secret, newline=False)
        text = text[-(-before * 8 // 6) : (before + len(secret)) * 8 // 6]
        for line in (text[at : at + _BASE64_LINE] for at in range(0, len(text), _BASE64_LINE)):
            if len(line) >= _SHORTEST_BASE64:
                yield line
                yield line.translate(_URL_SAFE)
    for safe in ("", "/", "-._~"):
        text = quote_from_bytes(secret, safe).encode("ascii")
        yield text
        yield text.replace(b"%20", b"+")


def json_text(secret: str) -> str:
    """A secret as a string of JSON, quotes included."""
    if secret.isprintable() and '"' not in secret and "\\" not in secret:
        return f'"{secret}"'
    import json  # noqa: PLC0415  (few secrets need it)

    return json.dumps(secret, ensure_ascii=False)


def masked(patterns: tuple[bytes, ...], text: str) -> str:
    """A whole text, masked."""
    masker = Masker(patterns)
    data = text.encode("utf-8", "surrogateescape")
    return (masker.feed(data) + masker.end()).decode("utf-8", "replace")


class Masker:
    """Masks one stream. What may be the beginning of a secret is held back until more comes or the stream ends."""

    def __init__(self, patterns: tuple[bytes, ...]) -> None:
        self._patterns = patterns
        self._longest = max((len(pattern) for pattern in patterns), default=0)
        self._held = b""
        self._covered = 0  # so many bytes of `_held` belong to a secret whose stars have been given out

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes of the stream; returns what can be shown now."""
        if not self._patterns:
            return data
        data = self._held + data
        cut = self._cut(data)
        shown, self._covered = self._mask(data, cut)
        self._held = data[cut:]
        return shown

    def end(self) -> bytes:
        """The stream is over; returns the rest."""
        shown, self._covered = self._mask(self._held, len(self._held))
        self._held = b""
        return shown

    def _cut(self, data: bytes) -> int:
        """Where the longest tail begins that is the beginning of a pattern; `len(data)` when there is none."""
        # No pattern holds a line feed, so only the unfinished line can be the beginning of one.
        first = max(data.rfind(b"\n") + 1, len(data) - self._longest + 1)
        cut = len(data)
        for pattern in self._patterns:
            at = data.find(pattern[:1], max(first, len(data) - len(pattern) + 1), cut)
            while at >= 0:
                if pattern.startswith(data[at:]):
                    cut = at
                    break
                at = data.find(pattern[:1], at + 1, cut)
        return cut

    def _mask(self, data: bytes, cut: int) -> tuple[bytes, int]:
        """`data[:cut]` masked, and how many bytes after the cut are covered by a secret that begins before it."""
        spans = self._spans(data, cut)
        if not spans:
            return data[:cut], 0
        out = []
        at = 0
        for begin, end in spans:
            out.append(data[at:begin])
            # A span from 0 goes on from what was masked the last time: its stars are out already.
            if begin > 0 or not self._covered:
                out.append(STARS)
            at = end
        out.append(data[at:cut])
        return b"".join(out), max(0, at - cut)

    def _spans(self, data: bytes, cut: int) -> list[tuple[int, int]]:
        """The parts of `data` to hide that begin before `cut`: sorted, overlapping ones joined."""
        found = [(0, self._covered)] if self._covered else []
        for pattern in self._patterns:
            at = data.find(pattern)
            while 0 <= at < cut:
                found.append((at, at + len(pattern)))
                at = data.find(pattern, at + 1)
        found.sort()
        joined: list[tuple[int, int]] = []
        for begin, end in found:
            if joined and begin < joined[-1][1]:
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((begin, end))
        return joined
