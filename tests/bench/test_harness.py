"""The benchmarks' arithmetic, without any benchmark: rounds, ratios, targets."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bench import report
from bench.harness import Benchmark, BenchmarkError, Contender, Contest, Result, Setup, Target, followed, process, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def _benchmark(log: list[str], *targets: Target) -> Benchmark:
    @contextmanager
    def prepare(setup: Setup) -> Iterator[Contest]:
        log.append("prepared")

        def one(name: str, value: float) -> Contender:
            def measure() -> float:
                log.append(name)
                return value

            return Contender(name=name, measure=measure)

        try:
            yield Contest(contenders=(one("hako", 4.0), one("peer", 10.0)), remarks=lambda: ["a remark"])
        finally:
            log.append("taken down")

    return Benchmark(name="x", title="a comparison", prepare=prepare, targets=targets)


def test_the_order_turns_with_every_round(tmp_path: Path) -> None:
    """Each contender is warmed up once, then all run once a round, and who is first changes."""
    log: list[str] = []
    run(_benchmark(log), Setup(directory=tmp_path, commands=tmp_path), rounds=2)
    assert log == ["prepared", "hako", "peer", "hako", "peer", "peer", "hako", "taken down"]


def test_targets_are_judged(tmp_path: Path) -> None:
    """A limit in milliseconds and one as a share of a peer are judged; one on a peer that is away is left open."""
    targets = (Target(limit=3), Target(limit=0.5, peer="peer"), Target(limit=0.5, peer="absent"))
    result = run(_benchmark([], *targets), Setup(directory=tmp_path, commands=tmp_path), rounds=3)
    assert [verdict.passed for verdict in result.verdicts()] == [False, True, None]
    text = report.table(result)
    assert "MISSED (4.00 ms)" in text
    assert "passed (0.40×)" in text
    assert "absent is not here" in text
    assert "a remark" in text


def test_a_ratio_is_taken_within_each_round() -> None:
    """A slow minute that met both in one round does not move the ratio."""
    samples = {"hako": (1.0, 100.0, 1.0), "peer": (2.0, 200.0, 2.0)}
    result = Result(benchmark=_benchmark([]), samples=samples, remarks=())
    assert result.ratio("hako", "peer") == 0.5


def test_a_failing_command_is_no_figure() -> None:
    """A contender whose process fails stops the benchmark, with what the process said."""
    measure = process([sys.executable, "-c", "raise SystemExit('no such image')"])
    with pytest.raises(BenchmarkError, match="no such image"):
        measure()


def test_figures_have_the_unit_of_their_benchmark(tmp_path: Path) -> None:
    """What is measured need not be time: table, verdicts and record name the unit."""
    benchmark = replace(_benchmark([], Target(limit=5)), unit="KiB")
    result = run(benchmark, Setup(directory=tmp_path, commands=tmp_path), rounds=3)
    text = report.table(result)
    assert "at most 5 KiB: passed (4.00 KiB)" in text
    assert " ms" not in text
    assert report.record([result], {})["benchmarks"][0]["unit"] == "KiB"


def test_what_follows_is_not_measured() -> None:
    """Making the next measure ready happens after each of them, and its own figure counts for nothing."""
    log: list[str] = []
    assert followed(lambda: log.append("made") or 4.0, lambda: log.append("ready") or 100.0)() == 4.0  # type: ignore[func-returns-value]
    assert log == ["made", "ready"]
