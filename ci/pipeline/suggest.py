"""What a misspelt word was meant to be.

Finding the nearest of many words takes time, and a hostile file can ask thousands of times: a `Suggester` has a budget
for one file, and afterwards gives no more hints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BUDGET = 1_000_000  # pairs of characters compared, for one file: a quarter of a second
_LENGTH_LIMIT = 40  # nobody misspells a longer word
_SURE_LENGTH = 4
_SURE_DISTANCE = 2  # of a long word; 1 of a short one


class Suggester:
    """Finds near words, as long as its budget lasts."""

    def __init__(self, budget: int = BUDGET) -> None:
        self.budget = budget

    def did_you_mean(self, word: str, candidates: Iterable[str], synonyms: Mapping[str, str] | None = None) -> str:
        """A hint with the nearest candidate, or the word's synonym; empty where nothing is near."""
        meant = (synonyms or {}).get(word.lower()) or self.closest(word, candidates)
        return f'did you mean "{meant}"?{_foreign(word)}' if meant else ""

    def closest(self, word: str, candidates: Iterable[str]) -> str | None:
        """The candidate that differs least; at most one change in three characters. The first of several."""
        if not word or len(word) > _LENGTH_LIMIT:
            return None
        best = None
        limit = max(1, len(word) // 3) + 1
        for candidate in candidates:
            self.budget -= 1
            if self.budget < 0:
                return None
            if abs(len(candidate) - len(word)) < limit:
                self.budget -= len(word) * len(candidate)
                distance = _distance(word.lower(), candidate.lower())
                if distance < limit:
                    best, limit = candidate, distance
        return best

    def sure(self, word: str, candidates: Iterable[str]) -> str | None:
        """The one candidate that was certainly meant: a letter or two differ, and more from every other."""
        nearest: list[tuple[int, str]] = []
        for candidate in candidates:
            self.budget -= len(word) * len(candidate)
            if self.budget < 0 or len(word) > _LENGTH_LIMIT:
                return None
            if abs(len(candidate) - len(word)) <= _SURE_DISTANCE:
                nearest.append((_distance(word.lower(), candidate.lower()), candidate))
        if len(word) < _SURE_LENGTH or not nearest:
            return None
        distance, best = min(nearest)
        allowed = _SURE_DISTANCE if len(word) >= 2 * _SURE_LENGTH else 1
        alone = sum(other <= distance for other, _ in nearest) == 1
        return best if distance <= allowed and alone else None


def _foreign(word: str) -> str:
    """What is said of a letter that may look right and is of another alphabet."""
    other = next((letter for letter in word if not letter.isascii()), "")
    return f' "{other}" is U+{ord(other):04X}' if other else ""


def _distance(one: str, other: str) -> int:
    """Characters to insert, delete, replace or swap (optimal string alignment)."""
    before: list[int] = []
    previous = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        current = [i]
        for j, b in enumerate(other, 1):
            cost = min(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            current.append(cost)
        before, previous = previous, current
    return previous[-1]
