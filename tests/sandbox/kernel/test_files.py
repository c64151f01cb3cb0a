"""Small files read and written whole."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sandbox.kernel import files

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 300_000])
def test_what_is_created_is_read_back(tmp_path: Path, size: int) -> None:
    """Whatever its size; the mode is the one that was asked for."""
    data = os.urandom(size)
    files.create(tmp_path / "file", data, 0o600)
    assert files.read(tmp_path / "file") == data
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    """A short read is not taken for the end: a kernel file may give less than there is."""
    os.mkfifo(tmp_path / "pipe")
    if os.fork() == 0:
        with (tmp_path / "pipe").open("wb", buffering=0) as pipe:
            for _ in range(3):
                pipe.write(b"part")
        os._exit(0)
    assert files.read(tmp_path / "pipe") == b"partpartpart"
    os.wait()


def test_a_reader_of_what_is_replaced_has_the_old_or_the_new(tmp_path: Path) -> None:
    """An open file keeps its content; the name leads to the new one, and no part is left."""
    path = tmp_path / "record"
    files.replace(str(path), "old")
    with path.open(encoding="ascii") as reader:
        files.replace(str(path), "new")
        assert reader.read() == "old"
    assert files.read(path) == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_writing_makes_no_file(tmp_path: Path) -> None:
    """A kernel's file that is missing stays so, and the error names it."""
    with pytest.raises(FileNotFoundError) as caught:
        files.write(tmp_path / "missing", "1")
    assert str(tmp_path / "missing") in str(caught.value)
    assert not (tmp_path / "missing").exists()


def test_an_error_names_the_file() -> None:
    """Also where the kernel refuses the bytes, not the name."""
    with pytest.raises(OSError, match=r"No space left on device.*'/dev/full'"):
        files.create("/dev/full", "text")
