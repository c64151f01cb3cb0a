"""The log of events: order, bounds, followers, processes that write at once."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING

import pytest

from sandbox.runtime import events

if TYPE_CHECKING:
    from pathlib import Path


def _write(home: Path, writer: int) -> None:
    for number in range(200):
        events.record(home, "container", "start", f"{writer}", {"number": str(number), "fill": "x" * 300})


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    """No line is lost or mixed with another, and each writer's stay in order."""
    writers = [multiprocessing.get_context("fork").Process(target=_write, args=(tmp_path, one)) for one in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = list(events.read(tmp_path))
    assert len(found) == 800
    for one in range(4):
        assert [event.attributes["number"] for event in found if event.id == str(one)] == [str(n) for n in range(200)]


@pytest.mark.slow
def test_the_log_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full file makes room; the last events are there, and a follower misses none."""
    monkeypatch.setattr(events, "LIMIT", 2000)
    seen = []
    count = iter(range(300))

    def going() -> bool:
        number = next(count)
        events.record(tmp_path, "container", "start", f"{number}", {})
        return number < 200

    for event in events.read(tmp_path, going=going):
        seen.append(int(event.id))
    assert seen == list(range(201))
    assert (tmp_path / "events").stat().st_size < 2100
    assert (tmp_path / "events.1").stat().st_size < 2100
    kept = [int(event.id) for event in events.read(tmp_path)]
    assert kept == list(range(kept[0], 201))


def test_recording_never_fails(tmp_path: Path) -> None:
    """A folder that is gone, a line that is none."""
    events.record(tmp_path / "gone", "container", "start", "a", {})
    (tmp_path / "events").write_bytes(b'nonsense\n[1,"container","start","a",{}]\n[1]\nhalf')
    assert [event.id for event in events.read(tmp_path)] == ["a"]
