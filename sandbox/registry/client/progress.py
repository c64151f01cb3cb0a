"""What pulls and pushes tell while they go on; whoever starts one decides how that is shown."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class State(StrEnum):
    """What becomes of a layer, in docker's words."""

    WAITING = "Waiting"
    DOWNLOADING = "Downloading"
    EXTRACTING = "Extracting"
    PULLED = "Pull complete"
    EXISTS = "Already exists"
    PREPARING = "Preparing"
    PUSHING = "Pushing"
    PUSHED = "Pushed"
    THERE = "Layer already exists"
    MOUNTED = "Mounted"


class Progress(Protocol):
    """Called from several threads, often for the same state with more bytes."""

    def layer(self, name: str, state: State, done: int = 0, total: int = 0, detail: str = "") -> None:
        """A layer, by its short digest. `done` of `total` bytes; a total of 0 is not known."""

    def line(self, text: str) -> None:
        """A line for a person."""


class Silent:
    """Nobody looks."""

    def layer(self, name: str, state: State, done: int = 0, total: int = 0, detail: str = "") -> None:
        """Nothing."""

    def line(self, text: str) -> None:
        """Nothing."""


class Lines(Silent):
    """Lines alone, given on to a function."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def line(self, text: str) -> None:
        """Give it on."""
        self._write(text)
