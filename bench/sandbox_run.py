"""`sandbox run --rm busybox true`, the whole process, beside podman; runc and bwrap show what the kernel takes."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from bench import peers
from bench.harness import OURS, Benchmark, Contender, Contest, Setup, Target, process
from bench.home import engine_home

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def _without_network(setup: Setup) -> Iterator[Contest]:
    with ExitStack() as stack:
        contenders = (_ours(stack, setup, "none"), *stack.enter_context(peers.podman(setup, "none")))
        contenders += stack.enter_context(peers.runc(setup)) + stack.enter_context(peers.bubblewrap(setup))
        yield Contest(contenders=contenders)


@contextmanager
def _with_bridge(setup: Setup) -> Iterator[Contest]:
    with ExitStack() as stack:
        yield Contest(
            contenders=(_ours(stack, setup, "bridge"), *stack.enter_context(peers.podman(setup, "bridge"))),
        )


def _ours(stack: ExitStack, setup: Setup, network: str) -> Contender:
    home = stack.enter_context(engine_home(setup))
    command: list[str | Path] = [setup.commands / "sandbox", "run", "--rm", "--network", network, "busybox", "true"]
    return Contender(name=OURS, measure=process(command, environment={**os.environ, "HAKO_HOME": str(home)}))


BENCHMARKS = (
    Benchmark(
        name="run-none",
        title="sandbox run --rm --network none busybox true, the whole process",
        prepare=_without_network,
        targets=(Target(limit=0.5, peer="podman"),),
    ),
    Benchmark(
        name="run-bridge",
        title="sandbox run --rm busybox true on the bridge, the whole process",
        prepare=_with_bridge,
        targets=(Target(limit=0.4, peer="podman"),),
    ),
)
