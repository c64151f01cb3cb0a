"""Logs as runners send them: what is kept is what was sent, whatever is repeated, missing, killed or broken."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci.errors import CiError
from ci.logs.live import DATA, MARKS, EndedError, GapError, LimitError
from ci.logs.marks import STRIDE
from ci.logs.store import LogKey, Logs

if TYPE_CHECKING:
    from pathlib import Path

KEY = LogKey(7, 1, 2)


def content(logs: Logs, key: LogKey = KEY) -> bytes:
    """All bytes of a log."""
    with logs.open(key) as reader:
        return b"".join(iter_bytes(reader.read, reader.size))


def iter_bytes(read: object, size: int) -> list[bytes]:
    """In pieces that are no multiple of anything."""
    return [read(offset, 99_991) for offset in range(0, size, 99_991)]  # type: ignore[operator]


def test_what_is_repeated_is_dropped_and_a_gap_is_refused(tmp_path: Path) -> None:
    """A runner may send the same twice, or overlapping; bytes that are missing are asked for."""
    logs = Logs(tmp_path)
    assert logs.append(KEY, 0, b"one\ntwo", time=10) == 7
    assert logs.append(KEY, 0, b"one\ntwo", time=11) == 7
    assert logs.append(KEY, 4, b"two\nthree\n", time=12) == 14
    with pytest.raises(GapError) as refused:
        logs.append(KEY, 15, b"five", time=13)
    assert refused.value.next == 14
    assert content(logs) == b"one\ntwo\nthree\n"


def test_a_log_is_the_same_before_and_after_it_is_finished(tmp_path: Path) -> None:
    """Bytes, lines and times; the finished file is one that `zstd` reads; nothing else is left."""
    logs, data = Logs(tmp_path), os.urandom(600_000) + b"\nend"
    logs.append(KEY, 0, data[:400_000], time=10)
    logs.append(KEY, 400_000, data[400_000:], time=20)
    assert not logs.finish(KEY)  # it has not ended
    logs.append(KEY, len(data), b"", time=30, end=True)
    with logs.open(KEY) as reader:
        before = list(reader.lines(0, 100_000)), reader.count, reader.ended
    assert list(logs.growing()) == [KEY]
    assert logs.finish(KEY)
    assert logs.finish(KEY)  # again is as once
    with logs.open(KEY) as reader:
        assert (list(reader.lines(0, 100_000)), reader.count, reader.ended) == before
        assert reader.time_of(399_999) == 10
        assert reader.time_of(400_000) == 20
    assert content(logs) == data
    assert [path.name for path in (tmp_path / "7").iterdir()] == ["1.2.log.zst"]
    assert list(logs.growing()) == []


def test_a_finished_log_takes_repeats_and_nothing_new(tmp_path: Path) -> None:
    """The answer to the end may have been lost; the runner sends it again."""
    logs = Logs(tmp_path)
    logs.append(KEY, 0, b"all\n", time=1, end=True)
    with pytest.raises(EndedError):
        logs.append(KEY, 4, b"more", time=1)
    logs.finish(KEY)
    assert logs.append(KEY, 0, b"all\n", time=2, end=True) == 4
    with pytest.raises(EndedError):
        logs.append(KEY, 4, b"more", time=2)


def test_a_log_has_a_limit(tmp_path: Path) -> None:
    """What would be beyond it is refused as a whole."""
    logs = Logs(tmp_path)
    logs.append(KEY, 0, b"1234", time=1, limit=8)
    with pytest.raises(LimitError):
        logs.append(KEY, 4, b"56789", time=1, limit=8)
    assert content(logs) == b"1234"


def test_no_log_is_an_error_that_says_so(tmp_path: Path) -> None:
    """Of a step that has not begun."""
    with pytest.raises(CiError, match="no log of step 2"):
        Logs(tmp_path).open(KEY)


@pytest.mark.parametrize("lost", ["mark", "half a mark", "data"])
def test_what_a_kill_or_a_power_cut_leaves_is_mended(tmp_path: Path, lost: str) -> None:
    """Bytes without a mark get one; marks without bytes are dropped, and the bytes asked for again."""
    logs = Logs(tmp_path)
    for offset in range(0, 9, 3):
        logs.append(KEY, offset, b"ab\n", time=offset)
    folder = tmp_path / "growing" / "7.1.2"
    if lost == "data":
        os.truncate(folder / DATA, 4)
        with pytest.raises(GapError) as refused:
            logs.append(KEY, 9, b"ab\n", time=9)
        assert refused.value.next == 4
        logs.append(KEY, 3, b"ab\nab\nab\n", time=9)
    else:
        os.truncate(folder / MARKS, 48 if lost == "mark" else 60)
        logs.append(KEY, 9, b"ab\n", time=9)
    with logs.open(KEY) as reader:
        assert reader.count == 4
    assert content(logs) == b"ab\n" * 4


_SENDER = """
import sys
from pathlib import Path
from ci.logs.store import LogKey, Logs
logs, offset = Logs(Path(sys.argv[1])), int(sys.argv[2])
while True:
    piece = b"".join(b"line %d\\n" % n for n in range(offset, offset + 40))
    offset = logs.append(LogKey(7, 1, 2), offset, piece, time=1.0)
    sys.stdout.write(f"{offset}\\n")
    sys.stdout.flush()
"""


@pytest.mark.slow
def test_kill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Whenever the server's process is killed, what it has answered for is there, and marks fit the bytes."""
    logs, offset = Logs(tmp_path), 0
    for turn in range(6):
        process = subprocess.Popen([sys.executable, "-c", _SENDER, tmp_path, str(offset)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        answers = [int(process.stdout.readline())]
        time.sleep(0.02 * turn)
        process.send_signal(signal.SIGKILL)
        answers += [int(line) for line in process.stdout if line.endswith(b"\n")]
        process.stdout.close()
        process.wait()
        with pytest.raises(GapError) as refused:
            logs.append(KEY, 1 << 40, b"x", time=1)
        offset = refused.value.next
        assert offset >= answers[-1]
        data = content(logs)
        with logs.open(KEY) as reader:
            assert (reader.size, reader.count) == (offset, data.count(b"\n") + (not data.endswith(b"\n")))


def test_a_finisher_that_was_killed_is_repeated(tmp_path: Path) -> None:
    """Half a file is written over; a whole one with its folder still there loses the folder."""
    logs = Logs(tmp_path)
    logs.append(KEY, 0, b"all\n", time=1, end=True)
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "1.2.log.zst.part").write_bytes(b"half")
    folder = tmp_path / "growing" / "7.1.2"
    assert logs.finish(KEY)
    folder.mkdir()
    (folder / "ended").touch()
    assert list(logs.growing()) == [KEY]
    assert logs.finish(KEY)
    assert not folder.exists()
    assert content(logs) == b"all\n"


def test_logs_of_a_stage(tmp_path: Path) -> None:
    """Are found while they grow, ended for a runner that is lost, and removed together."""
    logs = Logs(tmp_path)
    keys = [LogKey(7, attempt, step) for attempt, step in itertools.product((1, 2), (1, 2))]
    for key in (*keys, LogKey(77, 1, 1)):
        logs.append(key, 0, b"x", time=1)
    assert sorted(logs.growing(7)) == keys
    logs.end(keys[0])
    logs.end(LogKey(8, 1, 1))  # there is none
    assert [logs.finish(key) for key in keys] == [True, False, False, False]
    logs.remove_stage(7)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["77.1.1", "data", "growing", "marks"]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    """Not a traceback of some decompressor."""
    logs = Logs(tmp_path)
    for data in (b"", b"nonsense" * 10):
        path = tmp_path / "7" / "1.2.log.zst"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        with pytest.raises(CiError, match="damaged"):
            logs.open(KEY)


def test_marks_are_a_stride_apart(tmp_path: Path) -> None:
    """However much comes at once: nobody counts further than that."""
    logs = Logs(tmp_path)
    logs.append(KEY, 0, b"\n" * (3 * STRIDE + 5), time=1)
    with logs.open(KEY) as reader:
        assert reader.count == 3 * STRIDE + 5
        assert reader.start_of(2 * STRIDE + 3) == 2 * STRIDE + 3


@settings(max_examples=60, deadline=None)
@given(
    pieces=st.lists(st.binary(max_size=40) | st.just(b"\n\n") | st.just(b"x" * 20_000), max_size=12),
    ended=st.booleans(),
)
def test_lines_are_those_of_the_bytes(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], ended: bool
) -> None:
    """Whatever the bytes are and however they came: split at line feeds, with their places and times."""
    logs, whole = Logs(tmp_path_factory.mktemp("logs")), b"".join(pieces)
    offset = 0
    logs.append(KEY, 0, b"", time=0)
    for number, piece in enumerate(pieces):
        offset = logs.append(KEY, offset, piece, time=number + 1, end=ended and number == len(pieces) - 1)
    if ended:
        logs.finish(KEY)
    expected = whole.split(b"\n")
    if not expected[-1]:
        del expected[-1]
    with logs.open(KEY) as reader:
        assert reader.count == len(expected)
        for first in range(len(expected)):
            lines = list(reader.lines(first, 1000))
            assert len(lines) == len(expected) - first
            for line, wanted in zip(lines, expected[first:], strict=True):
                assert line.left_out + len(line.text) == len(wanted)
                if not line.left_out:
                    assert line.text == wanted
                assert reader.line_at(line.offset) == expected.index(wanted) or whole.count(wanted) > 1
                assert whole[line.offset : line.offset + len(wanted)] == wanted
