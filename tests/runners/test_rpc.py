"""The client of the runners' RPC, against a server over real HTTP that is away, restarts and refuses."""

from __future__ import annotations

import io
import threading
import time
from typing import TYPE_CHECKING

import pytest

from runners.rpc import AwayError, Rpc, RpcError
from tests.runners.server import TOKEN, Server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[Server]:
    """One with a Stage that waits."""
    with Server() as running:
        running.add({"stage": {"id": 7, "attempt": 0}})
        yield running


@pytest.fixture
def rpc(server: Server) -> Iterator[Rpc]:
    """A client of it."""
    client = Rpc(server.url, TOKEN, patience=20)
    yield client
    client.close()


def log(rpc: Rpc, offset: int, data: bytes, *, end: bool = False) -> int:
    """Some bytes of step 1's log."""
    return rpc.log(7, 1, attempt=1, offset=offset, data=data, end=end, now=1.5)


def test_a_stage_is_accepted_and_told(server: Server, rpc: Rpc) -> None:
    """All calls of a Stage's life reach the server as they are meant."""
    assert rpc.hello({"jobs": 2}, [], patience=1)["heartbeat"] == server.interval
    assert rpc.accept(7)["stage"]["attempt"] == 1
    rpc.step(7, 1, {"attempt": 1, "state": "running"})
    assert log(rpc, 0, b"abc") == 3
    assert log(rpc, 0, b"abcdef") == 6  # a repeat with more
    log(rpc, 6, b"", end=True)
    rpc.put_artifact(7, 1, "a b/ü?#.txt", io.BytesIO(b"artifact"), 8)
    rpc.tests(7, 1, 1, {"total": 1})
    assert rpc.artifacts(7) == [{"path": "a b/ü?#.txt", "size": 8}]
    target = io.BytesIO(b"what was there before")
    rpc.get_artifact(7, "a b/ü?#.txt", target)
    assert target.getvalue() == b"artifact"
    rpc.finish(7, {"attempt": 1, "state": "success"})
    told = server.stages[7]
    assert (bytes(told.logs[1]), told.ended, told.steps) == (b"abcdef", {1}, [(1, "running")])
    assert told.tests == {1: {"total": 1}}
    assert told.result is not None


def test_calls_wait_for_a_server_that_restarts(server: Server, rpc: Rpc) -> None:
    """Nobody listens for a while, then it answers 503, then it works again: the call succeeds."""
    rpc.accept(7)
    server.stop()
    calling = threading.Thread(target=lambda: log(rpc, 0, b"late"))
    calling.start()
    time.sleep(0.3)
    assert calling.is_alive()
    server.failures = 3
    server.start()
    calling.join(20)
    assert bytes(server.stages[7].logs[1]) == b"late"


def test_patience_ends() -> None:
    """A server that is not there at all is said in one line."""
    with Server() as gone:
        url = gone.url
    client = Rpc(url, TOKEN, patience=0.2)
    with pytest.raises(AwayError, match=r"rpc/v1 does not answer: .*refused"):
        client.accept(1)


def test_refusals_are_not_repeated(server: Server, rpc: Rpc) -> None:
    """What the server refuses comes back at once, with its words."""
    before = server.requests
    with pytest.raises(RpcError) as caught:
        log(rpc, 5, b"x")
    assert caught.value.not_ours  # not accepted
    rpc.accept(7)
    with pytest.raises(RpcError) as caught:
        log(rpc, 5, b"x")
    assert (caught.value.reference, caught.value.answer["next"]) == ("gap", 0)
    assert server.requests == before + 3


def test_a_wrong_token_and_an_answer_of_somebody_else(server: Server) -> None:
    """Both are errors that say what to look at."""
    with pytest.raises(RpcError, match="who"):
        Rpc(server.url, "nonsense").accept(7)
    server.refuse["accept"] = 200
    server.answer = lambda *_: (200, b"<html>hello</html>")  # type: ignore[method-assign]
    with pytest.raises(RpcError, match="no answer of a server: '<html>"):
        Rpc(server.url, TOKEN).accept(7)


def test_the_pause_may_give_a_call_up() -> None:
    """Who waits for a server that is away can be told to stop."""

    class EnoughError(Exception):
        pass

    def pause(seconds: float) -> None:
        raise EnoughError

    with Server() as gone:
        url = gone.url
    with pytest.raises(EnoughError):
        Rpc(url, TOKEN, pause=pause).accept(1)
