"""The log's records and its tail."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.runtime import log
from tests.sandbox.kernel.children import in_child

if TYPE_CHECKING:
    from pathlib import Path


def _write(path: Path, chunks: list[tuple[int, bytes]]) -> None:
    path.unlink(missing_ok=True)
    writer = log.LogWriter(path)
    for stream, data in chunks:
        writer.write(stream, data)
    writer.close()


def test_bytes_come_back_as_written(tmp_path: Path) -> None:
    """Streams, order and every byte are kept; times do not go back."""
    chunks = [(1, b"a\n"), (2, b"\xff\x00\r"), (1, b""), (1, b"x" * 70000)]
    _write(tmp_path / "log", chunks)
    records = list(log.read(tmp_path / "log"))
    assert [(record.stream, record.data) for record in records] == chunks
    assert [record.time for record in records] == sorted(record.time for record in records)


def test_a_cut_record_ends_the_log(tmp_path: Path) -> None:
    """After a crash in the middle of a write, the whole records before it are still there."""
    _write(tmp_path / "log", [(1, b"one\n"), (1, b"two\n")])
    text = (tmp_path / "log").read_bytes()
    for length in range(len(text)):
        (tmp_path / "cut").write_bytes(text[:length])
        assert [record.data for record in log.read(tmp_path / "cut")] == [b"one\n", b"two\n"][: length // 17]


def test_rubbish_is_no_record(tmp_path: Path) -> None:
    """A length that no writer of ours makes ends the log instead of filling memory."""
    (tmp_path / "log").write_bytes(b"\xff" * 64)
    assert list(log.read(tmp_path / "log")) == []


def test_no_log_is_an_empty_one(tmp_path: Path) -> None:
    """A container that has not started yet has printed nothing."""
    assert list(log.read(tmp_path / "log")) == []


@given(st.lists(st.text(alphabet="ab\n", max_size=8), max_size=8), st.integers(0, 6))
def test_tail_is_the_last_lines(tmp_path_factory: pytest.TempPathFactory, texts: list[str], lines: int) -> None:
    """However lines are spread over records, the tail is what tail(1) would print."""
    path = tmp_path_factory.mktemp("tail") / "log"
    _write(path, [(1, text.encode()) for text in texts if text])
    records, reader = log.tail(path, lines)
    whole = "".join(texts).splitlines(keepends=True)
    assert b"".join(record.data for record in records).decode() == "".join(whole[len(whole) - min(lines, len(whole)) :])
    assert list(reader.records()) == []
    _write(path, [(1, b"more")])
    assert [record.data for record in reader.records()] == [b"more"]


def test_following_ends_after_the_writer(tmp_path: Path) -> None:
    """A follower sees what is written until its writer is gone, the last record included."""
    path = tmp_path / "log"
    _write(path, [(1, b"first\n")])
    answers = iter([True, True, False])

    def follow() -> bool:
        answer = next(answers)
        if not answer:
            with path.open("ab") as file:
                other = tmp_path / "other"
                _write(other, [(1, b"last\n")])
                file.write(other.read_bytes())
        return answer

    assert [record.data for record in log.read(path, follow=follow)] == [b"first\n", b"last\n"]


def test_a_limited_log_keeps_the_last(tmp_path: Path) -> None:
    """Full files make room: so many of about that size, and what is read is what was written last, without a gap."""
    writer = log.LogWriter(tmp_path / "log", most=1000, files=3)
    for number in range(200):
        writer.write(1, f"{number}\n".encode() * 5)
    writer.close()
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) <= 3
    assert max(sizes) < 1100
    kept = b"".join(record.data for record in log.read(tmp_path / "log")).split()
    assert kept[-1] == b"199"
    assert [int(line) for line in kept] == [n for n in range(int(kept[0]), 200) for _ in range(5)]


@pytest.mark.slow
def test_a_follower_of_a_limited_log_misses_nothing(tmp_path: Path) -> None:
    """It goes over from one file to the next, as long as it keeps up; else it goes on with the oldest."""
    path = tmp_path / "log"
    writer = log.LogWriter(path, most=300, files=3)
    numbers = iter(range(100))

    def follow() -> bool:
        for _ in range(5):
            if (number := next(numbers, None)) is None:
                return False
            writer.write(1, b"%d " % number)
        return True

    read = b"".join(record.data for record in log.read(path, follow=follow)).split()
    assert [int(number) for number in read] == list(range(100))
    reader = log.Reader(path)
    first = next(reader.records())
    for number in range(1000, 1200):
        writer.write(1, b"%d " % number)
    rest = [int(record.data) for record in reader.records()]
    assert int(first.data) < 100
    assert rest[-1] == 1199
    writer.close()


def test_one_file_that_is_full_begins_anew(tmp_path: Path) -> None:
    """With a single file only its beginning goes."""
    writer = log.LogWriter(tmp_path / "log", most=500, files=1)
    for number in range(100):
        writer.write(1, b"%d\n" % number)
    writer.write(1, b"end\n")
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
    assert list(log.read(tmp_path / "log"))[-1].data == b"end\n"


def test_a_disk_that_is_full_leaves_no_half_record(tmp_path: Path) -> None:
    """What does not fit is not there at all, and a later run of the container is written behind what was."""
    path = tmp_path / "log"

    def until_it_is_full() -> str:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        writer = log.LogWriter(path)
        for number in range(50):
            writer.write(1, b"%02d" % number * 20)
        writer.close()
        return writer.error

    assert in_child(until_it_is_full) == "output is no longer kept: No space left on device"
    kept = [record.data for record in log.read(path)]
    assert kept == [b"%02d" % number * 20 for number in range(len(kept))]
    assert len(kept) == 1000 // (13 + 40)
    writer = log.LogWriter(path)
    writer.write(1, b"later")
    writer.close()
    assert [record.data for record in log.read(path)] == [*kept, b"later"]
