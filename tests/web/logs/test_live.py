"""Who follows a log sees every line, also after having been away, and keeps nobody else waiting."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from web.logs import live

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient

    from tests.web.logs.conftest import Written
    from web.services import Services


def events(text: str) -> list[tuple[str, str, Any]]:
    """Kind, id and data of what came."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        if "event" in fields:
            found.append((fields["event"], fields["id"], json.loads(fields["data"])))
    return found


def test_all_of_a_log_that_has_ended(client: FlaskClient, services: Services, written: Written) -> None:
    """In events of bounded size, each beginning where the last one ended; then the end."""
    data = b"".join(b"%d\n" % n for n in range(2500)) + b"last"
    services.logs.append(written.key, 0, data, time=1, end=True)
    got = events(client.get(f"{written.address}/-/live").text)
    assert [kind for kind, _, _ in got] == ["lines"] * 3 + ["end"]
    assert [line for _, _, part in got[:-1] for line, _ in part["lines"]] == data.decode().split("\n")
    assert got[-1][1] == str(len(data))


def test_who_comes_back_misses_nothing(client: FlaskClient, services: Services, written: Written) -> None:
    """The id of the last event says where to go on; a line that was half comes again, whole."""
    services.logs.append(written.key, 0, b"one\ntw", time=1)
    threads = services.settings.threads // 2
    client.application.extensions[live._SLOTS] = threading.BoundedSemaphore(threads)
    for _ in range(threads):
        client.application.extensions[live._SLOTS].acquire()
    first = client.get(f"{written.address}/-/live")
    assert "retry: 8000" in first.text  # no thread was free: what there is, and to come again
    ((_, offset, part),) = events(first.text)
    assert ([line for line, _ in part["lines"]], offset) == (["one", "tw"], "4")
    services.logs.append(written.key, 6, b"o\nthree\n", time=2, end=True)
    second = events(client.get(f"{written.address}/-/live", headers={"Last-Event-ID": offset}).text)
    assert second[0][2]["first"] == 2
    assert [line for line, _ in second[0][2]["lines"]] == ["two", "three"]


def test_who_is_far_behind_may_skip(client: FlaskClient, services: Services, written: Written) -> None:
    """The last lines, by their numbers."""
    services.logs.append(written.key, 0, b"".join(b"%d\n" % n for n in range(1, 100_001)), time=1, end=True)
    got = events(client.get(f"{written.address}/-/live?skip=1").text)
    assert [kind for kind, _, _ in got] == ["lines", "end"]
    assert (got[0][2]["first"], got[0][2]["lines"][0][0]) == (99_001, "99001")


@pytest.mark.parametrize("redis", [True, False])
def test_lines_come_while_they_are_written(app: Flask, services: Services, written: Written, redis: bool) -> None:
    """From a log that did not exist at first; also while Redis is away, only later."""
    got: list[Any] = []

    def listen() -> None:
        got.extend(events(app.test_client().get(f"{written.address}/-/live").text))

    if not redis:
        assert services.valkey is not None
        services.valkey.stop()
    listener = threading.Thread(target=listen)
    listener.start()
    offset = 0
    for number in range(4):
        offset = services.logs.append(written.key, offset, b"line %d\n" % number, time=number, end=number == 3)
        if redis:
            services.notices.announce(written.key)
        time.sleep(0.15)
    services.logs.finish(written.key)
    listener.join(60)
    assert not listener.is_alive()
    lines = {part["first"] + i: line for _, _, part in got[:-1] for i, (line, _) in enumerate(part["lines"])}
    assert lines == {n + 1: f"line {n}" for n in range(4)}
    assert got[-1][0] == "end"
