"""Measures contenders in pairs and judges the targets; `__main__` calls it, each benchmark's file fills it in.

All contenders of a benchmark run once per round, and the order turns with every round: what else the machine does
meets all of them alike. Figures are medians; a ratio is the median of the rounds' own ratios, which a slow minute does
not move.
"""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

OURS = "hako"


class BenchmarkError(Exception):
    """A contender failed: no figure is better than a wrong one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """`measure` does the work once and returns its figure in the benchmark's unit: the milliseconds it took."""

    name: str
    measure: Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is promised of `contender`: at most `limit` of the unit, or at most `limit` times what `peer` takes."""

    limit: float
    peer: str = ""
    contender: str = OURS


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a benchmark is given: a folder of its own that is removed afterwards, and our commands' folder."""

    directory: Path
    commands: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """What a benchmark prepared: the contenders, and remarks made after the rounds (a breakdown, what was left out)."""

    contenders: tuple[Contender, ...]
    remarks: Callable[[], Sequence[str]] = field(default=lambda: ())


class Prepare(Protocol):
    """Set up what the contenders need and take it away on exit, also after an error."""

    def __call__(self, setup: Setup) -> AbstractContextManager[Contest]:
        """Enter the prepared state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One comparison of figures in `unit`; less is better. `rounds` at most; `seconds` bounds all of them together."""

    name: str
    title: str
    prepare: Prepare
    targets: tuple[Target, ...] = ()
    unit: str = "ms"
    rounds: int = 30
    seconds: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A target with what was measured. `measured` is None where the peer is not installed."""

    target: Target
    measured: float | None

    @property
    def passed(self) -> bool | None:
        """Whether it was kept; None when it could not be judged."""
        return None if self.measured is None else self.measured <= self.target.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The figure of every round by contender, in the order of the rounds."""

    benchmark: Benchmark
    samples: Mapping[str, tuple[float, ...]]
    remarks: tuple[str, ...]

    def median(self, name: str) -> float:
        """Median in the benchmark's unit."""
        return statistics.median(self.samples[name])

    def ratio(self, name: str, peer: str) -> float:
        """Median of the rounds' ratios of `name` to `peer`."""
        return statistics.median(a / b for a, b in zip(self.samples[name], self.samples[peer], strict=True))

    def verdicts(self) -> tuple[Verdict, ...]:
        """Judge every target."""
        found = []
        for target in self.benchmark.targets:
            measured = None
            if target.contender in self.samples and not target.peer:
                measured = self.median(target.contender)
            elif target.contender in self.samples and target.peer in self.samples:
                measured = self.ratio(target.contender, target.peer)
            found.append(Verdict(target=target, measured=measured))
        return tuple(found)


def run(benchmark: Benchmark, setup: Setup, *, rounds: int | None = None) -> Result:
    """Prepare, warm up once, measure round by round, take down."""
    limit = rounds or benchmark.rounds
    with benchmark.prepare(setup) as contest:
        samples: dict[str, list[float]] = {contender.name: [] for contender in contest.contenders}
        for contender in contest.contenders:
            contender.measure()
        deadline = time.monotonic() + benchmark.seconds
        turn = 0
        gc.disable()
        try:
            while turn < limit and (turn < 3 or time.monotonic() < deadline):
                order = contest.contenders[turn % len(contest.contenders) :]
                order += contest.contenders[: turn % len(contest.contenders)]
                for contender in order:
                    samples[contender.name].append(contender.measure())
                turn += 1
        finally:
            gc.enable()
        remarks = tuple(contest.remarks())
    return Result(
        benchmark=benchmark, samples={name: tuple(values) for name, values in samples.items()}, remarks=remarks
    )


def followed(measure: Callable[[], float], *after: Callable[[], object]) -> Callable[[], float]:
    """The same measure; `after` it, and outside its time, the next one is made ready."""

    def both() -> float:
        figure = measure()
        for action in after:
            action()
        return figure

    return both


def process(
    command: Iterable[str | Path], *, environment: Mapping[str, str] | None = None, directory: Path | None = None
) -> Callable[[], float]:
    """A measure of a whole process: from the start of its executable to its end, output dropped.

    The command starts by posix_spawn, which costs this process next to nothing; a code other than 0 is an error.
    """
    arguments = [str(word) for word in command]
    if directory is not None:
        arguments = ["/usr/bin/env", f"--chdir={directory}", *arguments]
    variables = dict(os.environ if environment is None else environment)

    def measure() -> float:
        started = time.perf_counter_ns()
        pid = os.posix_spawnp(
            arguments[0],
            arguments,
            variables,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ],
        )
        _, status = os.waitpid(pid, 0)
        taken = (time.perf_counter_ns() - started) / 1e6
        code = os.waitstatus_to_exitcode(status)
        if code:
            again = subprocess.run(arguments, env=variables, capture_output=True, text=True, check=False)
            raise BenchmarkError(f"exit code {code}: {' '.join(arguments)}: {again.stderr.strip()[-500:]}")
        return taken

    return measure
