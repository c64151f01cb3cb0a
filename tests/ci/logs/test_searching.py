"""Search finds what a plain reading finds, across pieces and very long lines, in bounded memory."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ci.errors import CiError
from ci.logs.marks import STRIDE
from ci.logs.searching import search
from ci.logs.store import LogKey, Logs

if TYPE_CHECKING:
    from pathlib import Path

KEY = LogKey(1, 1, 1)


def keep(folder: Path, data: bytes) -> Logs:
    """A log of these bytes."""
    logs = Logs(folder)
    logs.append(KEY, 0, data, time=1)
    return logs


def found(folder: Path, data: bytes, text: str, *, fold: bool = False, most: int = 10_000) -> list[int]:
    """All lines, in as many answers as it takes."""
    lines: list[int] = []
    begin: int | None = 0
    with keep(folder, data).open(KEY) as reader:
        while begin is not None:
            answer = search(reader, text, begin=begin, fold=fold, most=most)
            lines += answer.lines
            begin = answer.next
    return lines


@pytest.mark.parametrize("most", [1, 7, 10_000])
def test_each_line_is_found_once(tmp_path: Path, most: int) -> None:
    """Compared with a reading of all; with answers of any length."""
    words = [b"make", b"Error", b"ok", b"", b"errors"]
    lines = [b" ".join(words[seed // step % 5] for step in (1, 3, 7, 11, 5, 2)) for seed in range(30_000)]
    data = b"\n".join(lines)
    if most == 1:
        data, lines = b"\n".join(lines[:300]), lines[:300]
    assert found(tmp_path, data, "Error ok", most=most) == [n for n, line in enumerate(lines) if b"Error ok" in line]


def test_case_is_ignored_on_request(tmp_path: Path) -> None:
    """Of ASCII and of other letters, in bytes that need not be UTF-8."""
    data = "ERROR\nerror\nÜBER\nüber\n\n".encode() + b"\xff\xfe Error\n"
    assert found(tmp_path, data, "error") == [1]
    assert found(tmp_path / "b", data, "Error", fold=True) == [0, 1, 5]
    assert found(tmp_path / "c", data, "über", fold=True) == [2, 3]


@pytest.mark.parametrize("place", [STRIDE - 3, STRIDE, 2 * STRIDE - 1, 2 * STRIDE - 6])
def test_a_text_on_the_border_of_two_pieces_is_found(tmp_path: Path, place: int) -> None:
    """Once, and in its line."""
    data = bytearray(b"x" * 40 + b"\n") * (3 * STRIDE // 41)
    data[place : place + 6] = b"needle"
    lines = bytes(data).split(b"\n")
    assert found(tmp_path, bytes(data), "needle") == [n for n, line in enumerate(lines) if b"needle" in line]


def test_a_long_line_is_one_hit(tmp_path: Path) -> None:
    """However often the text is in it."""
    assert found(tmp_path, b"a\n" + b"needle " * STRIDE + b"\nneedle", "needle") == [1, 2]


@pytest.mark.parametrize("text", ["", "a\nb", "x" * 2000])
def test_what_no_line_can_have_is_refused(tmp_path: Path, text: str) -> None:
    """With a line that says so."""
    with keep(tmp_path, b"a").open(KEY) as reader, pytest.raises(CiError, match="cannot be searched"):
        search(reader, text)


_LARGE = """
import sys
from pathlib import Path
from ci.logs.searching import search
from ci.logs.store import LogKey, Logs

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

before = peak()
logs, key, offset = Logs(Path(sys.argv[1])), LogKey(1, 1, 1), 0
lines = 5_000_000
for first in range(0, lines, 20_000):
    piece = b"".join(b"%d of many\\n" % n for n in range(first, first + 20_000))
    offset = logs.append(key, offset, piece, time=first)
offset = logs.append(key, offset, b"" , time=lines, end=True)
for finished in (False, True):
    if finished:
        assert logs.finish(key)
    with logs.open(key) as reader:
        assert reader.count == lines
        got = [line.text for line in reader.lines(1_200_000, 201)]
        assert got == [b"%d of many" % n for n in range(1_200_000, 1_200_201)]
        assert search(reader, "4999999 of").lines == (4_999_999,)
        assert search(reader, "OF MANY", fold=True).lines[-1] == 9_999
key, offset = LogKey(1, 1, 2), 0
for _ in range(100):
    offset = logs.append(key, offset, b"x" * (1 << 20), time=1)
logs.append(key, offset, b"needle\\nlast", time=2, end=True)
logs.finish(key)
with logs.open(key) as reader:
    first, last = reader.lines(0, 10)
    assert first.left_out + len(first.text) == (100 << 20) + 6 and last.text == b"last"
    assert search(reader, "needle").lines == (0,)
print((peak() - before) >> 10)
"""


@pytest.mark.slow
def test_five_million_lines_and_one_of_100_megabytes_cost_little_memory(tmp_path: Path) -> None:
    """Taking, finishing, reading and searching them: the peak of the whole process, in MiB."""
    done = subprocess.run([sys.executable, "-c", _LARGE, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 40
