"""The tree of a build on a terminal, as the screen shows it: seen through a terminal emulator."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pyte

from sandbox.builder.display_tree import Size, TreeDisplay
from sandbox.builder.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 20.0  # seconds


class Terminal:
    """A screen of a size; what scrolls away is kept."""

    def __init__(self, rows: int, columns: int) -> None:
        self._size = Size(rows, columns)
        self._screen = pyte.HistoryScreen(columns, rows, history=1000)
        self._stream = pyte.Stream(self._screen)
        self._lock = threading.Lock()
        self.written = ""

    def write(self, text: str) -> None:
        """What a program prints; the line discipline adds carriage returns."""
        with self._lock:
            self.written += text
            self._stream.feed(text.replace("\n", "\r\n"))

    def size(self) -> Size:
        """As the program is told."""
        return self._size

    def shown(self) -> list[str]:
        """The lines of the screen that have something."""
        with self._lock:
            return [line.rstrip() for line in self._screen.display if line.strip()]

    def all(self) -> list[str]:
        """With those that have scrolled away."""
        above = [
            "".join(line[column].data for column in range(self._size.columns)) for line in self._screen.history.top
        ]
        return [line.rstrip() for line in above if line.strip()] + self.shown()

    def display(self, *, colour: bool = False) -> TreeDisplay:
        """A tree on it."""
        return TreeDisplay(self.write, self.size, colour=colour)


def until(condition: Callable[[], bool]) -> None:
    """Wait for a picture."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_goes_on_stands_below_what_is_done() -> None:
    """Steps that have ended are above; one that goes on shows its last lines, without what steers a terminal."""
    terminal = Terminal(12, 50)
    with Progress(terminal.display()) as progress:
        progress.begin("[1/3] FROM busybox").done()
        progress.begin("[2/3] WORKDIR /src").cached()
        step = progress.begin("[3/3] RUN make")
        step.output("".join(f"line {number}\n" for number in range(9)).encode())
        step.output(b"\x1b[31mred\x1b[0m\x1b]0;title\x07\a\n10%\r20%\r\n\xe6\xbc\xa2\xe5\xad\x97\xff\n")
        until(lambda: "漢" in terminal.shown()[-1])
        shown = terminal.shown()
        assert [line.split("0.")[0].rstrip() for line in shown[:2]] == [
            " => [1/3] FROM busybox",
            " => CACHED [2/3] WORKDIR /src",
        ]
        assert shown[2].endswith("(2/3)")
        assert shown[3].startswith(" => [3/3] RUN make")
        tail = [line.removeprefix(" => => # ") for line in shown[4:]]
        assert tail[:5] == ["line 6", "line 7", "line 8", "red�", "20%"]
        assert tail[5].replace(" ", "") == "漢字�"
        step.done()
    assert terminal.shown()[-1].endswith("(3/3) FINISHED")
    assert not any("line 6" in line for line in terminal.all())
    assert "\x1b[3" not in terminal.written


def test_forty_steps_are_readable() -> None:
    """More steps than the terminal has lines: as many as fit are shown, nothing scrolls in vain, none is lost."""
    terminal = Terminal(10, 40)
    with Progress(terminal.display()) as progress:
        steps = [progress.begin(f"[stage-{number} 1/1] RUN something that is rather long") for number in range(40)]
        for step in steps:
            step.output(b"output\n")
        until(lambda: " => and 33 more" in terminal.shown())
        assert len(terminal.shown()) == 9
        assert len(terminal.all()) == 9
        assert all(len(line) <= 40 for line in terminal.shown())
        for step in reversed(steps):
            step.done()
    lines = terminal.all()
    assert [line.partition(" 1/1")[0] for line in lines[:-1]] == [
        f" => [stage-{number}" for number in range(39, -1, -1)
    ]
    assert lines[-1].endswith("(40/40) FINISHED")


def test_a_narrow_terminal_that_changes() -> None:
    """Lines are cut to the width there is; below twenty columns there is no time; wide characters count twice."""
    terminal = Terminal(8, 12)
    with Progress(terminal.display()) as progress:
        step = progress.begin("[1/1] RUN 漢字漢字漢字漢字")
        until(lambda: len(terminal.shown()) == 2)
        assert terminal.shown()[1] == " => [1/1] R…"
        step.done()
    sizes = [Size(24, 30), Size(24, 5)]
    texts: list[str] = []
    display = TreeDisplay(texts.append, lambda: sizes[0], colour=False)
    with Progress(display) as progress:
        progress.begin("[1/1] RUN 漢字漢字漢字漢字")
        until(lambda: any("RUN" in text for text in texts))
        del sizes[0]
        until(lambda: any("\x1b[11A" in text for text in texts))  # 23 and 30 cells are eleven lines of five


def test_the_end_of_what_fails_is_kept() -> None:
    """The lines of a step that failed are printed, those that were given up are named; in colours."""
    terminal = Terminal(20, 50)
    with Progress(terminal.display(colour=True)) as progress:
        failing, other = progress.begin("[2/2] RUN false"), progress.begin("[x 1/1] RUN sleep 9")
        failing.output(b"one\ntwo")
        failing.note("the kernel ended a process")
        failing.failed("exit code: 1")
        other.cancelled()
        progress.begin("[y 1/1] RUN sleep 9")
    shown = terminal.shown()
    assert [line.split("0.")[0].rstrip() for line in shown[:4]] == [
        " => => the kernel ended a process",
        " => ERROR [2/2] RUN false",
        " => CANCELED [x 1/1] RUN sleep 9",
        " => CANCELED [y 1/1] RUN sleep 9",
    ]
    assert shown[4].endswith("(2/3) ERROR")
    assert shown[5:] == ["------", " > [2/2] RUN false:", "one", "two", "------"]
    assert "\x1b[31m => ERROR" in terminal.written
