"""What pulls and pushes show."""

from __future__ import annotations

import os
import pty

from sandbox.cli.transfers import Display
from sandbox.registry.client.progress import State


def shown(fd: int, read: int) -> str:
    """A layer that comes, one that is there already, and a line between."""
    with Display(fd) as display:
        display.layer("aaa", State.WAITING)
        display.layer("bbb", State.EXISTS)
        display.layer("aaa", State.DOWNLOADING, 500_000, 1_000_000)
        display.line("a line")
        display.layer("aaa", State.PULLED)
        display.layer("ccc", State.MOUNTED, detail="team/x")
    os.close(fd)
    text = b""
    try:
        while more := os.read(read, 4096):
            text += more
    except OSError:  # a terminal whose other side is closed
        pass
    os.close(read)
    return text.decode()


def test_lines_in_a_pipe() -> None:
    """Docker's words, one line for each thing that happens; no bars and no control characters."""
    read, write = os.pipe()
    assert shown(write, read) == (
        "aaa: Pulling fs layer\nbbb: Already exists\na line\naaa: Pull complete\nccc: Mounted from team/x\n"
    )


def test_a_block_on_a_terminal() -> None:
    """Drawn over and over; bars with sizes, and the line above it."""
    read, write = pty.openpty()
    text = shown(write, read)
    assert "aaa: Downloading [===============>" in text and "500kB/1MB" in text
    last = text.rsplit("\x1b[3A", 1)[-1]
    assert "a line" not in last
    assert [name in last for name in ("aaa: Pull complete", "bbb: Already exists", "ccc: Mounted from team/x")] == [
        True,
        True,
        True,
    ]
