"""Where a cold `sandbox run` spends its time before the container: Python's start, and the imports of the verb.

The remarks list the modules whose own import takes longest (`python -X importtime`): what need not be there shows.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.harness import OURS, Benchmark, Contender, Contest, Setup, process
from bench.home import engine_home

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SHOWN = 12


@contextmanager
def _cold_start(setup: Setup) -> Iterator[Contest]:
    with engine_home(setup) as home:
        environment = {**os.environ, "HAKO_HOME": str(home)}
        python, sandbox = setup.commands / "python", setup.commands / "sandbox"
        arguments = ["run", "--rm", "--network", "none", "busybox", "true"]
        yield Contest(
            contenders=(
                Contender(name=OURS, measure=process([sandbox, *arguments], environment=environment)),
                Contender(name="sandbox images", measure=process([sandbox, "images"], environment=environment)),
                Contender(name="python -c pass", measure=process([python, "-c", "pass"])),
                Contender(name="python -I -S -c pass", measure=process([python, "-I", "-S", "-c", "pass"])),
            ),
            remarks=lambda: imports([str(python), "-X", "importtime", str(sandbox), *arguments], environment),
        )


def imports(command: list[str], environment: Mapping[str, str]) -> list[str]:
    """Run once with `-X importtime` and list the dearest modules by the time of their own code."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    rows = []
    for line in done.stderr.splitlines():
        own, _, rest = line.removeprefix("import time:").partition("|")
        if own.strip().isdigit():
            rows.append((int(own), rest.partition("|")[2].strip()))
    total = sum(own for own, _ in rows) / 1000
    rows.sort(reverse=True)
    shown = ", ".join(f"{name} {own / 1000:.1f}" for own, name in rows[:_SHOWN])
    return [f"{len(rows)} modules, {total:.1f} ms under the tracer; the dearest: {shown}"]


BENCHMARKS = (Benchmark(name="startup", title="the cold start of sandbox run", prepare=_cold_start, rounds=20),)
