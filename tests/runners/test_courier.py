"""The courier: what is in an outbox reaches the server in order, whatever that says, and until the Stage's end."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from runners.courier import ABANDONED, DELIVERED, NOT_OURS, Courier
from runners.outbox import Entry, Outbox, has_end
from runners.rpc import Rpc
from tests.runners.server import TOKEN, Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server() -> Iterator[Server]:
    """One whose Stage 7 is ours, in its first attempt."""
    with Server() as running:
        running.add({"stage": {"id": 7, "attempt": 0}})
        client = Rpc(running.url, TOKEN)
        client.accept(7)
        client.close()
        yield running


def deliver(folder: Path, server: Server) -> int:
    """Send what is in the folder, to which nobody writes any more."""
    bell, other = os.pipe2(os.O_NONBLOCK)
    os.close(other)
    client = Rpc(server.url, TOKEN, patience=20)
    try:
        return Courier(folder, 7, bell, client).run()
    finally:
        client.close()
        os.close(bell)


def fill(folder: Path, *, limit: int = 1 << 20, end: bool = True) -> None:
    """An outbox with a step, its log and, with `end`, the Stage's end."""
    outbox = Outbox(folder, attempt=1, limit=limit)
    outbox.write(Entry("step", 1, {"state": "running"}))
    log = outbox.log(1)
    log.write(b"first\n")
    log.write(b"second\n")
    log.close()
    if end:
        outbox.write(Entry("end", 1))
        outbox.write(Entry("step", 1, {"state": "success"}))
        outbox.write(Entry("finish", body={"state": "success"}))
    outbox.close()


def test_everything_arrives_in_order(server: Server, tmp_path: Path) -> None:
    """States, logs, the end."""
    fill(tmp_path)
    assert deliver(tmp_path, server) == DELIVERED
    told = server.stages[7]
    assert told.steps == [(1, "running"), (1, "success")]
    assert (bytes(told.logs[1]), told.ended) == (b"first\nsecond\n", {1})
    assert told.result == {"attempt": 1, "state": "success"}


def test_an_outbox_without_an_end_is_sent_as_far_as_it_goes(server: Server, tmp_path: Path) -> None:
    """Its Stage's process has died: the log is there for people, and the Stage is not said to be over."""
    fill(tmp_path, end=False)
    assert deliver(tmp_path, server) == ABANDONED
    assert bytes(server.stages[7].logs[1]) == b"first\nsecond\n"
    assert server.stages[7].result is None
    assert not has_end(tmp_path)


def test_sending_again_changes_nothing(server: Server, tmp_path: Path) -> None:
    """A courier that begins where another was killed does so from the beginning."""
    fill(tmp_path, end=False)
    deliver(tmp_path, server)
    (tmp_path / "whole").mkdir()
    fill(tmp_path / "whole")
    assert deliver(tmp_path / "whole", server) == DELIVERED
    assert bytes(server.stages[7].logs[1]) == b"first\nsecond\n"


def test_a_server_that_has_lost_bytes_gets_them_again(server: Server, tmp_path: Path) -> None:
    """After a loss of power it knows less than it said."""
    fill(tmp_path)
    answer = server.answer
    lost: list[bool] = []

    def forgetful(method: str, target: str, token: str, body: bytes) -> tuple[int, object]:
        if "end=1" in target and not lost:
            lost.append(True)
            del server.stages[7].logs[1][3:]
        return answer(method, target, token, body)

    server.answer = forgetful  # type: ignore[method-assign]
    assert deliver(tmp_path, server) == DELIVERED
    assert lost
    assert bytes(server.stages[7].logs[1]) == b"first\nsecond\n"


def test_a_stage_that_is_anothers_is_not_told(server: Server, tmp_path: Path) -> None:
    """The server says so once, and that is the end."""
    fill(tmp_path)
    server.stages[7].attempts = 2
    assert deliver(tmp_path, server) == NOT_OURS
    assert server.stages[7].result is None


def test_what_the_server_refuses_does_not_hold_up_the_rest(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A log that it does not take is said at the runner; the Stage's end arrives."""
    fill(tmp_path)
    server.refuse["/log"] = 413
    assert deliver(tmp_path, server) == DELIVERED
    assert "the server refuses" in capfd.readouterr().err
    assert server.stages[7].result is not None


def test_a_log_has_its_limit(server: Server, tmp_path: Path) -> None:
    """What is beyond is dropped, and that is said in it."""
    fill(tmp_path, limit=8)
    deliver(tmp_path, server)
    assert bytes(server.stages[7].logs[1]).startswith(b"first\nse\n[the rest is not kept")


def test_lines_arrive_while_the_step_runs(server: Server, tmp_path: Path) -> None:
    """The courier waits for the bell, and sends what it is rung for."""
    bell, ringing = os.pipe2(os.O_NONBLOCK)
    outbox = Outbox(tmp_path, attempt=1, limit=1 << 20)
    outbox.notify(ringing)
    client = Rpc(server.url, TOKEN, patience=20)
    ended: list[int] = []
    courier = threading.Thread(target=lambda: ended.append(Courier(tmp_path, 7, bell, client).run()))
    courier.start()
    log = outbox.log(1)
    for number in range(5):
        log.write(b"%d\n" % number)
        arrived = threading.Event()
        while bytes(server.stages[7].logs.get(1, b"")).count(b"\n") <= number:
            assert not arrived.wait(0.01)
            assert courier.is_alive()
    log.close()
    outbox.write(Entry("end", 1))
    outbox.write(Entry("finish", body={"state": "success"}))
    courier.join(60)
    assert ended == [DELIVERED]
    outbox.close()
    client.close()
    for descriptor in (bell, ringing):
        os.close(descriptor)
