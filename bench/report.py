"""Prints results as tables for a person, and as a record for later comparison; `__main__` calls it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.harness import OURS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.harness import Result, Verdict


def table(result: Result) -> str:
    """One benchmark: a line per contender, then a line per target, then the remarks."""
    unit = result.benchmark.unit
    lines = [result.benchmark.title, f"  {'':<28}{'median':>10}{'lowest':>10}{'rounds':>8}   hako ÷ this"]
    for name, samples in result.samples.items():
        ratio = f"{result.ratio(OURS, name):.2f}" if OURS in result.samples and name != OURS else ""
        lines.append(
            f"  {name:<28}{result.median(name):>7.1f} {unit}{min(samples):>7.1f} {unit}{len(samples):>8}   {ratio}"
        )
    lines += [f"  {judged(verdict, unit)}" for verdict in result.verdicts()]
    lines += [f"  {remark}" for remark in result.remarks]
    return "\n".join(lines)


def judged(verdict: Verdict, unit: str) -> str:
    """One target in words."""
    target = verdict.target
    what = f"{target.contender} at most {target.limit:g}" + (f" × {target.peer}" if target.peer else f" {unit}")
    if verdict.measured is None:
        return f"target {what}: not judged, {target.peer or target.contender} is not here"
    word = "passed" if verdict.passed else "MISSED"
    return f"target {what}: {word} ({verdict.measured:.2f}{'×' if target.peer else f' {unit}'})"


def record(results: Sequence[Result], machine: Mapping[str, str]) -> dict[str, Any]:
    """Everything measured, for JSON."""
    return {
        "machine": dict(machine),
        "benchmarks": [
            {
                "name": result.benchmark.name,
                "title": result.benchmark.title,
                "unit": result.benchmark.unit,
                "medians": {name: round(result.median(name), 3) for name in result.samples},
                "samples": {name: [round(value, 3) for value in row] for name, row in result.samples.items()},
                "targets": [
                    {
                        "contender": verdict.target.contender,
                        "peer": verdict.target.peer,
                        "limit": verdict.target.limit,
                        "measured": verdict.measured,
                        "passed": verdict.passed,
                    }
                    for verdict in result.verdicts()
                ],
                "remarks": list(result.remarks),
            }
            for result in results
        ],
    }
