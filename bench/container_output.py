"""A million lines: printed by a container, attached and logged, and read from its log, beside docker's `local` log."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.dockerd import docker
from bench.harness import OURS, Benchmark, Contender, Contest, Setup, Target, process
from bench.home import engine_home, sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

_PRINT = ("--network", "none", "busybox", "seq", "1000000")


@contextmanager
def _printed(setup: Setup) -> Iterator[Contest]:
    with engine_home(setup) as home, docker(setup) as daemon:
        contenders = [Contender(name=OURS, measure=sandbox(setup, home, "run", "--rm", *_PRINT))]
        if daemon is not None:
            contenders.append(Contender(name="docker", measure=process([*daemon.client, "run", "--rm", *_PRINT])))
        yield Contest(contenders=tuple(contenders))


@contextmanager
def _read(setup: Setup) -> Iterator[Contest]:
    with engine_home(setup) as home, docker(setup) as daemon:
        sandbox(setup, home, "run", "--name", "printed", *_PRINT)()
        contenders = [Contender(name=OURS, measure=sandbox(setup, home, "logs", "printed"))]
        if daemon is not None:
            process([*daemon.client, "run", "--name", "printed", *_PRINT])()
            contenders.append(Contender(name="docker", measure=process([*daemon.client, "logs", "printed"])))
        yield Contest(contenders=tuple(contenders))


BENCHMARKS = (
    Benchmark(
        name="output",
        title="sandbox run --rm busybox seq 1000000, attached and logged, the whole process",
        prepare=_printed,
        targets=(Target(limit=1, peer="docker"),),
        rounds=15,
    ),
    Benchmark(
        name="logs",
        title="sandbox logs of a million lines, the whole process",
        prepare=_read,
        targets=(Target(limit=1 / 3, peer="docker"),),
        rounds=10,
    ),
)
