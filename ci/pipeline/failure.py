"""What a step's failure means: apart from `spec`, so that reading a file does not need the records of runners."""

from __future__ import annotations

from enum import StrEnum


class OnFailure(StrEnum):
    """What a step's failure does to its Stage."""

    FAIL = "fail"
    IGNORE = "ignore"
    FAST = "fast"  # ends the Stage at once; drone's word, "cancel" in Woodpecker
