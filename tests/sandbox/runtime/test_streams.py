"""The supervisor's streams on real pipes: who gets what, who holds up whom."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import pytest

from sandbox.runtime import log
from sandbox.runtime.streams import CHUNK, Input, Loop, Output, Part

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MUCH = 4 * CHUNK  # more than the pipes on the way hold


class Pipes:
    """Pipes of one test; whatever is still open at its end is closed."""

    def __init__(self) -> None:
        self._made: list[int] = []

    def make(self) -> tuple[int, int]:
        """Reading and writing end, both non-blocking."""
        ends = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._made += ends
        return ends

    def close(self) -> None:
        """The test is over."""
        for descriptor in self._made:
            with contextlib.suppress(OSError):
                os.close(descriptor)


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    """Pipes for a test."""
    made = Pipes()
    yield made
    made.close()


def everything(descriptor: int) -> bytes:
    """What can be read now."""
    data = b""
    with contextlib.suppress(BlockingIOError):
        while piece := os.read(descriptor, CHUNK):
            data += piece
    return data


def test_output_goes_to_the_log_and_to_every_sink(pipes: Pipes, tmp_path: Path) -> None:
    """Each attached reader gets what is printed from then on, the log all of it."""
    loop, writer = Loop(), log.LogWriter(tmp_path / "log")
    source, container = pipes.make()
    (first, first_sink), (second, second_sink) = pipes.make(), pipes.make()
    output = Output(loop, source, log.STDERR, writer)
    output.attach(first_sink)
    os.write(container, b"one\n")
    loop.step(0)
    output.attach(second_sink)
    os.write(container, b"two\n")
    loop.step(0)
    assert (everything(first), everything(second)) == (b"one\ntwo\n", b"two\n")
    records = list(log.read(tmp_path / "log"))
    assert [(record.stream, record.data) for record in records] == [(log.STDERR, b"one\n"), (log.STDERR, b"two\n")]
    output.close()
    writer.close()
    assert os.read(first, 1) == b""


def test_a_slow_reader_holds_the_container_back_and_loses_nothing(pipes: Pipes) -> None:
    """The source is not read while a sink is behind; all of it arrives in the end, in order."""
    loop = Loop()
    source, container = pipes.make()
    reader, sink = pipes.make()
    output = Output(loop, source, log.STDOUT, None)
    output.attach(sink)
    data = os.urandom(MUCH)
    sent, received, idle = 0, b"", 0
    while len(received) < len(data):
        with contextlib.suppress(BlockingIOError):
            sent += os.write(container, data[sent : sent + CHUNK])
        if not loop.step(0):
            idle += 1
            assert idle < 1000
            received += os.read(reader, CHUNK)
        assert sent - len(received) <= 4 * CHUNK
    assert received == data
    assert not output.pending()
    output.close()


def test_a_reader_that_leaves_while_it_is_behind(pipes: Pipes) -> None:
    """It is forgotten, and the container goes on: once this ended the supervisor, and so the container."""
    loop = Loop()
    source, container = pipes.make()
    reader, sink = pipes.make()
    output = Output(loop, source, log.STDOUT, None)
    output.attach(sink)
    for _ in range(4):
        with contextlib.suppress(BlockingIOError):
            os.write(container, bytes(CHUNK))
        loop.step(0)
    assert output.pending()
    os.close(reader)
    while loop.step(0):
        pass
    assert not output.pending()
    os.write(container, b"more")
    assert loop.step(0)
    output.close()


def test_what_is_left_at_the_end_waits_for_a_slow_reader(pipes: Pipes) -> None:
    """`drain` takes everything out of the source, also when a sink is behind, and the sink gets it later."""
    loop = Loop()
    source, container = pipes.make()
    reader, sink = pipes.make()
    output = Output(loop, source, log.STDOUT, None)
    output.attach(sink)
    sent = b""
    for number in range(4):
        piece = bytes([number]) * CHUNK
        with contextlib.suppress(BlockingIOError):
            sent += piece[: os.write(container, piece)]
        loop.step(0)
    os.close(container)
    output.drain()
    assert output.done
    assert output.pending()
    received = b""
    while output.pending():
        received += everything(reader)
        loop.step(1)
    output.close()
    assert received + everything(reader) == sent
    assert os.read(reader, 1) == b""


def test_drain_does_not_wait_for_a_living_writer(pipes: Pipes) -> None:
    """A process that still holds the pipe does not hold up the end."""
    loop = Loop()
    source, container = pipes.make()
    output = Output(loop, source, log.STDOUT, None)
    os.write(container, b"x")
    output.drain()
    assert not output.done
    output.close()


def test_input_ends_when_its_source_does(pipes: Pipes) -> None:
    """Bytes go through, however slowly they are taken, and then the end."""
    loop = Loop()
    source, caller = pipes.make()
    container, target = pipes.make()
    Input(loop, source, target)
    data = os.urandom(MUCH)
    sent, received = 0, b""
    while len(received) < len(data):
        with contextlib.suppress(BlockingIOError):
            sent += os.write(caller, data[sent : sent + CHUNK])
        if not loop.step(0):
            received += os.read(container, CHUNK)
    assert received == data
    os.close(caller)
    loop.step(1)
    assert os.read(container, 1) == b""


def test_an_error_in_one_part_is_that_ones_own(pipes: Pipes) -> None:
    """It is told to the part's owner; another's callbacks go on."""
    loop = Loop()
    told: list[Exception] = []
    seen: list[bytes] = []
    error = RuntimeError("unforeseen")

    def fail() -> None:
        raise error

    (bad, to_bad), (good, to_good) = pipes.make(), pipes.make()
    Part(loop, told.append).add(bad, fail)
    Part(loop, told.append).add(good, lambda: seen.append(os.read(good, 9)))
    os.write(to_bad, b"x")
    os.write(to_good, b"y")
    loop.step(1)
    assert (told, seen) == ([error], [b"y"])
