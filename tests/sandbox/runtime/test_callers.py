"""Who is connected to a supervisor: answers, mistakes, hanging up, and the end."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.errors import ConflictError
from sandbox.runtime import control
from sandbox.runtime.callers import Answer, Callers
from sandbox.runtime.streams import Loop, Part

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Desk:
    """A loop with callers whose answers a test can foresee."""

    def __init__(self, folder: Path) -> None:
        self.loop = Loop()
        self.left: list[socket.socket] = []
        self.kept: list[socket.socket] = []
        self.callers = Callers(Part(self.loop, self._failed), self._answer, self._leave)
        self.callers.listen(folder)

    def steps(self) -> None:
        """Until nobody has anything to say: one step for each of the few things a test does."""
        for _ in range(4):
            self.loop.step(0.0)

    def _answer(self, caller: socket.socket, message: dict[str, Any], _: list[int]) -> Answer:
        if message["do"] == "refuse":
            raise ConflictError("no")
        if message["do"] == "elsewhere":
            self.callers.hand_over(caller)
            self.kept.append(caller)
            return None
        return {"event": "done"}

    def _leave(self, caller: socket.socket) -> bool:
        self.left.append(caller)
        return caller in self.kept

    def _failed(self, error: Exception) -> None:
        raise error


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Callers on a loop of their own."""
    made = Desk(tmp_path)
    yield made
    made.callers.dismiss({"event": "exited"})


def test_a_caller_gets_its_answer_and_at_last_the_end(desk: Desk, tmp_path: Path) -> None:
    """Answers come as they are given, mistakes as errors, and the end to all: who asked nothing, who came just now."""
    asker, quiet = control.connect(tmp_path), control.connect(tmp_path)
    desk.steps()
    for message in ({"do": "something"}, {"do": "refuse"}, {"nonsense": 1}):
        control.send(asker, message)
        desk.steps()
    late = control.connect(tmp_path)
    desk.callers.dismiss({"event": "exited", "code": 3})
    assert [control.receive(asker)[0]["event"] for _ in range(4)] == ["done", "error", "error", "exited"]  # type: ignore[index]
    for one in (quiet, late):
        assert control.receive(one) == ({"event": "exited", "code": 3}, [])
    for one in (asker, quiet, late):
        assert control.receive(one) is None
        one.close()


def test_who_hangs_up_is_forgotten(desk: Desk, tmp_path: Path) -> None:
    """The connection is closed, unless somebody else goes on with it."""
    gone, kept = control.connect(tmp_path), control.connect(tmp_path)
    desk.steps()
    control.send(kept, {"do": "elsewhere"})
    desk.steps()
    gone.close()
    kept.close()
    desk.steps()
    assert len(desk.left) == 2
    assert sorted(one.fileno() >= 0 for one in desk.left) == [False, True]
    desk.kept[0].close()


def test_the_starter_is_greeted_and_told_the_end(desk: Desk) -> None:
    """Who has started the container hears that it runs, and waits like all others."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    desk.callers.greet(theirs, {"event": "started"})
    desk.callers.dismiss({"event": "exited"})
    assert control.receive(ours) == ({"event": "started"}, [])
    assert control.receive(ours) == ({"event": "exited"}, [])
    ours.close()
