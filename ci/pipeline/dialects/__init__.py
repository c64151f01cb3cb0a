"""The front ends: each reads the nodes of one kind of pipeline file into Documents.

A dialect knows its keys and their shapes; what they mean together (`lint`, `compile`) is the same for all. `hako` is
our own, `.ci.yml`.
"""

from __future__ import annotations

_FOREIGN = {".drone.": "drone", ".woodpecker.": "Woodpecker"}


def foreign(filename: str) -> str:
    """The system whose dialect the file's name promises, where it is one that is not read yet; else empty."""
    name = filename.rpartition("/")[2]
    return next((system for prefix, system in _FOREIGN.items() if name.startswith(prefix)), "")
