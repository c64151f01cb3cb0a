"""Live output: every byte of every step, with its name before each line."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from ci.cli.console import Console, verdict
from ci.cli.order import Style
from ci.cli.summary import duration
from ci.cli.titles import titles
from ci.cli.writing import Writer
from ci.pipeline.spec import StageSpec, StepSpec
from runners.loop import Loop
from runners.schedule import State, StepResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def stage(number: int = 1, name: str = "test", **matrix: str) -> StageSpec:
    """A Stage of the steps a and longer."""
    steps = tuple(StepSpec(name=one, image="busybox") for one in ("a", "longer"))
    return StageSpec(name=name, number=number, steps=steps, matrix=matrix)


class Screen:
    """A console on a pipe, and what it has printed."""

    def __init__(self, style: Style, stages: tuple[StageSpec, ...]) -> None:
        self.reading, self.writing = os.pipe()
        fcntl.fcntl(self.writing, fcntl.F_SETPIPE_SZ, 1 << 20)
        self.loop = Loop()
        self.broken: list[str] = []
        self.stages = stages
        writer = Writer(self.writing, self.loop, lambda: self.broken.append("broken"))
        self.console = Console(writer, stages, style, self.loop)

    def step(self, name: str) -> Any:
        """The log of a step."""
        step = next(step for step in self.stages[0].steps if step.name == name)
        return self.console.step_started(self.stages[0], step)

    def text(self) -> bytes:
        """Everything printed; at most what a pipe holds."""
        os.set_blocking(self.reading, False)
        try:
            return os.read(self.reading, 1 << 20)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        """Give all back."""
        self.loop.close()
        for descriptor in (self.reading, self.writing):
            try:
                os.close(descriptor)
            except OSError:
                continue


@pytest.fixture
def screen() -> Iterator[Callable[..., Screen]]:
    """Makes screens."""
    made: list[Screen] = []

    def make(style: Style | None = None, *stages: StageSpec) -> Screen:
        made.append(Screen(style or Style(), stages or (stage(),)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_every_line_has_its_steps_name(screen: Callable[..., Screen]) -> None:
    """Names are aligned; chunks cut anywhere make no difference."""
    it = screen()
    a, longer = it.step("a"), it.step("longer")
    a.write(b"one\ntw")
    longer.write(b"x\n")
    a.write(b"o\n\nthree")
    a.close()
    assert it.text() == b"a      | one\nlonger | x\na      | two\na      | \na      | three\n"


def test_no_byte_is_changed(screen: Callable[..., Screen]) -> None:
    """Invalid UTF-8, NUL, escapes and returns go through a pipe as they are."""
    it = screen()
    a = it.step("a")
    a.write(b"\xff\xfe\0 \x1b[31mred\x1b[0m 10%\r20%\r\n")
    assert it.text() == b"a      | \xff\xfe\0 \x1b[31mred\x1b[0m 10%\r20%\r\n"


def test_nothing_of_ours_is_an_escape_code_in_a_pipe(screen: Callable[..., Screen]) -> None:
    """Plain where nobody looks."""
    it = screen()
    it.step("a").write(b"x\n")
    it.console.step_finished(it.stages[0], StepResult(name="a", state=State.FAILED, exit_code=1))
    assert b"\x1b" not in it.text()


def test_a_long_line_is_not_held(screen: Callable[..., Screen]) -> None:
    """A line without an end is shown in pieces that another step's line may part, and nothing of it is lost."""
    it = screen()
    a, longer = it.step("a"), it.step("longer")
    for _ in range(3):
        a.write(b"x" * 30_000)
    text = it.text()
    longer.write(b"y\n")
    a.write(b"z\n")
    a.close()
    text += it.text()
    assert text == b"a      | " + b"x" * 90_000 + b"\nlonger | y\na      | z\n"


def test_an_unfinished_line_is_shown_on_a_terminal(screen: Callable[..., Screen]) -> None:
    """After a moment; its rest continues it, unless somebody else's line came between."""
    it = screen(Style(live=True))
    a, longer = it.step("a"), it.step("longer")
    a.write(b"Password: ")
    assert it.text() == b""
    it.loop.run(lambda: it.console.is_open(a))
    assert it.text() == b"a      | Password: "
    a.write(b"ok\n")
    assert it.text() == b"ok\n"
    a.write(b"more")
    it.loop.run(lambda: it.console.is_open(a))
    longer.write(b"y\n")
    a.close()
    assert it.text() == b"a      | more\nlonger | y\n"


def test_a_return_keeps_the_name_on_a_terminal(screen: Callable[..., Screen]) -> None:
    """A line of progress that is written over does not write over the step's name."""
    it = screen(Style(live=True))
    it.step("a").write(b"10%\r20%\n")
    assert it.text() == b"a      | 10%\ra      | 20%\n"


def test_colours_end_before_the_steps_own_text(screen: Callable[..., Screen]) -> None:
    """With colour the name is coloured and the text is not, also when the line before left a colour on."""
    it = screen(Style(colour=True))
    it.step("a").write(b"one\ntwo\n")
    line = b"\x1b[0m\x1b[36ma      | \x1b[0m"
    assert it.text() == line + b"one\n" + line + b"two\n"


def test_quiet_shows_the_end_of_what_failed(screen: Callable[..., Screen]) -> None:
    """Nothing of steps that pass; the last lines of those that fail."""
    it = screen(Style(quiet=True))
    for name, state in (("a", State.PASSED), ("longer", State.FAILED)):
        log = it.step(name)
        log.write(b"first\n" + b"x" * 40_000 + b"\nlast of " + name.encode() + b"\n")
        log.close()
        it.console.step_finished(it.stages[0], StepResult(name=name, state=state, exit_code=1))
    assert it.text() == b"longer | last of longer\nlonger ! failed with exit code 1\n"


def test_several_stages_are_told_apart(screen: Callable[..., Screen]) -> None:
    """The Stage's name, with the cell's values where it has several cells, is part of the step's."""
    stages = (stage(1, python="3.11"), stage(2, python="3.12"), stage(3, "docs"))
    assert titles(stages) == {1: "test[3.11]", 2: "test[3.12]", 3: "docs"}
    it = screen(None, *stages)
    it.step("a").write(b"x\n")
    assert it.text() == b"test[3.11]/a      | x\n"


def test_a_reader_that_went_away_is_noticed_once(screen: Callable[..., Screen]) -> None:
    """`ci-run local | head` is no error; nothing more is written."""
    it = screen()
    os.close(it.reading)
    a = it.step("a")
    a.write(b"x\n")
    a.write(b"y\n")
    it.loop.round(0)
    it.loop.round(0)
    assert it.broken == ["broken"]


def test_a_reader_that_does_not_read_does_not_hold_an_interrupt(screen: Callable[..., Screen]) -> None:
    """A write that waits is given up when a signal comes, and what nobody reads then is dropped."""
    it = screen()
    before = signal.signal(signal.SIGUSR1, lambda *_: it.console.interrupt())
    try:
        timer = threading.Timer(0.2, lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1))
        timer.start()
        it.step("a").write(b"x\n" * 1_000_000)
        timer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (StepResult(name="a", state=State.PASSED, exit_code=0, started=0, finished=1.25), "passed in 1.2 s"),
        (
            StepResult(name="a", state=State.FAILED, exit_code=2, started=0, finished=3),
            "failed with exit code 2 in 3.0 s",
        ),
        (StepResult(name="a", state=State.IGNORED, exit_code=2), "failed with exit code 2, which is ignored"),
        (StepResult(name="a", state=State.SKIPPED, reason="b failed"), "skipped: b failed"),
        (StepResult(name="a", state=State.ERROR, reason="no image x"), "could not run: no image x"),
        (StepResult(name="a", state=State.CANCELLED, exit_code=137, reason="interrupted"), "cancelled: interrupted"),
    ],
)
def test_verdicts_are_short(result: StepResult, text: str) -> None:
    """A few words for each way to end."""
    assert verdict(result) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3599.9, "1 h 00 min"),
        (3720, "1 h 02 min"),
    ],
)
def test_durations_are_readable(seconds: float, text: str) -> None:
    """The unit that a person would choose."""
    assert duration(seconds) == text
