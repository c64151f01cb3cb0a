"""`sandbox exec NAME true` in a running container, the whole process, beside podman."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench import peers
from bench.harness import OURS, Benchmark, Contender, Contest, Setup, Target, process
from bench.home import engine_home, sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

_IDLE = ("--name", "idle", "--network", "none", "busybox", "sleep", "1000")


@contextmanager
def _exec(setup: Setup) -> Iterator[Contest]:
    with engine_home(setup) as home, peers.podman(setup) as podman:
        sandbox(setup, home, "run", "--detach", *_IDLE)()
        try:
            contenders = [Contender(name=OURS, measure=sandbox(setup, home, "exec", "idle", "true"))]
            if podman:
                process([*podman, "run", "--detach", *peers.PODMAN_LIMITS, *_IDLE])()
                contenders.append(Contender(name="podman", measure=process([*podman, "exec", "idle", "true"])))
            yield Contest(contenders=tuple(contenders))
        finally:
            sandbox(setup, home, "rm", "--force", "idle")()


BENCHMARKS = (
    Benchmark(
        name="exec",
        title="sandbox exec NAME true, the whole process",
        prepare=_exec,
        targets=(Target(limit=0.3, peer="podman"),),
    ),
)
