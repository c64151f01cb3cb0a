"""A container's whole life from a warm process: create, start, wait, remove through the engine's library.

This is what a runner does for each step, and what `docker-py` does through a daemon.
"""

from __future__ import annotations

import statistics
import time
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

from bench.harness import OURS, Benchmark, BenchmarkError, Contender, Contest, Setup, Target
from bench.home import engine_home
from sandbox.runtime.engine import Engine
from sandbox.runtime.spec import ContainerSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.harness import Prepare

_PHASES = ("create", "start", "wait", "remove")


def _cycle(network: str) -> Prepare:
    @contextmanager
    def prepare(setup: Setup) -> Iterator[Contest]:
        phases: dict[str, list[float]] = {name: [] for name in _PHASES}
        with ExitStack() as stack:
            home = stack.enter_context(engine_home(setup))
            engine = stack.enter_context(closing(Engine(home)))
            spec = ContainerSpec(image="busybox", command=("true",), network=network)

            def measure() -> float:
                times = [time.perf_counter()]
                container = engine.create(spec)
                times.append(time.perf_counter())
                process = engine.start(container)
                times.append(time.perf_counter())
                status = process.wait()
                times.append(time.perf_counter())
                engine.remove(container)
                times.append(time.perf_counter())
                if status is None or status.code:
                    raise BenchmarkError(f"the container ended with {status}")
                for name, begin, end in zip(_PHASES, times, times[1:], strict=False):
                    phases[name].append((end - begin) * 1000)
                return (times[-1] - times[0]) * 1000

            def remarks() -> list[str]:
                medians = (f"{name} {statistics.median(values):.1f}" for name, values in phases.items())
                return [f"medians of the phases: {', '.join(medians)} ms"]

            yield Contest(contenders=(Contender(name=OURS, measure=measure),), remarks=remarks)

    return prepare


BENCHMARKS = (
    Benchmark(
        name="cycle-none",
        title="create, start, wait, remove from a warm process, no network",
        prepare=_cycle("none"),
        targets=(Target(limit=10), Target(limit=6)),
        rounds=100,
    ),
    Benchmark(
        name="cycle-bridge",
        title="create, start, wait, remove from a warm process, on the bridge",
        prepare=_cycle("bridge"),
        targets=(Target(limit=25), Target(limit=10)),
        rounds=100,
    ),
)
