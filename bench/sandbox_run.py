"""`sandbox run --rm busybox true`, the whole process, beside podman; runc and bwrap show what the kernel takes."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from bench import peers
from bench.harness import OURS, Benchmark, Contender, Contest, Setup, Target
from bench.home import engine_home, sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def _without_network(setup: Setup) -> Iterator[Contest]:
    with ExitStack() as stack:
        contenders = (_ours(stack, setup, "none"), *stack.enter_context(peers.podman_run(setup, "none")))
        contenders += stack.enter_context(peers.runc(setup)) + stack.enter_context(peers.bubblewrap(setup))
        yield Contest(contenders=contenders)


@contextmanager
def _with_bridge(setup: Setup) -> Iterator[Contest]:
    with ExitStack() as stack:
        yield Contest(
            contenders=(_ours(stack, setup, "bridge"), *stack.enter_context(peers.podman_run(setup, "bridge"))),
        )


def _ours(stack: ExitStack, setup: Setup, network: str) -> Contender:
    home = stack.enter_context(engine_home(setup))
    return Contender(name=OURS, measure=sandbox(setup, home, "run", "--rm", "--network", network, "busybox", "true"))


BENCHMARKS = (
    Benchmark(
        name="run-none",
        title="sandbox run --rm --network none busybox true, the whole process",
        prepare=_without_network,
        targets=(Target(limit=0.5, peer="podman"), Target(limit=0.4, peer="podman")),
    ),
    Benchmark(
        name="run-bridge",
        title="sandbox run --rm busybox true on the bridge, the whole process",
        prepare=_with_bridge,
        targets=(Target(limit=0.4, peer="podman"), Target(limit=0.3, peer="podman")),
    ),
)
