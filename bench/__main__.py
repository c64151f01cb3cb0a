"""`python -m bench [NAME…]`: run the benchmarks, print the tables, say which targets were kept.

With --json the samples are kept in build/bench for later comparison; with --strict a missed target is exit code 1.
"""

from __future__ import annotations

import argparse
import compileall
import importlib
import json
import os
import platform
import signal
import sys
import tempfile
import time
from pathlib import Path

from bench import peers, report
from bench.harness import Benchmark, BenchmarkError, Setup, run

MODULES = (
    "sandbox_run",
    "sandbox_exec",
    "engine_cycle",
    "fifty_at_once",
    "idle_memory",
    "container_output",
    "image_load",
    "image_transfer",
    "image_commit",
    "image_build",
    "local_pipeline",
    "logs",
    "pipeline_file",
    "runner_workspace",
    "startup",
)


def main(arguments: list[str]) -> int:
    """Parse, run, report."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks to run; all without a name")
    parser.add_argument("--list", action="store_true", help="name the benchmarks and stop")
    parser.add_argument("--rounds", type=int, help="rounds of each benchmark")
    parser.add_argument("--json", action="store_true", help="keep the samples in build/bench/")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a target is missed")
    options = parser.parse_args(arguments)
    known: dict[str, Benchmark] = {}
    for name in MODULES:
        known |= {found.name: found for found in importlib.import_module(f"bench.{name}").BENCHMARKS}
    unknown = [name for name in options.names if name not in known]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are: {', '.join(known)}")
    if options.list:
        for found in known.values():
            print(f"{found.name:<20} {found.title}")
        return 0
    for package in ("sandbox", "ci"):  # as an installer does: what is measured is never Python's compiler
        compileall.compile_dir(package, quiet=1)
    machine = describe()
    print("; ".join(f"{key} {value}" for key, value in machine.items()), end="\n\n")
    results, failures = [], 0
    for name in options.names or known:
        directory = Path(tempfile.mkdtemp(prefix="hako-bench-", dir="/var/tmp"))
        try:
            setup = Setup(directory=directory, commands=Path(sys.prefix) / "bin")
            results.append(run(known[name], setup, rounds=options.rounds))
            print(report.table(results[-1]), end="\n\n", flush=True)
        except BenchmarkError as error:
            failures += 1
            print(f"{known[name].title}\n  failed: {error}\n", flush=True)
        finally:
            peers.remove(directory)
    if options.json:
        target = Path("build/bench") / time.strftime("%Y-%m-%d-%H%M%S.json")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(report.record(results, machine), indent=1) + "\n")
        print(f"samples: {target}")
    verdicts = [verdict for result in results for verdict in result.verdicts()]
    missed = sum(verdict.passed is False for verdict in verdicts)
    kept = sum(verdict.passed is True for verdict in verdicts)
    print(f"targets: {kept} kept, {missed} missed, {len(verdicts) - kept - missed} not judged; {failures} failed")
    return 1 if failures or (missed and options.strict) else 0


def describe() -> dict[str, str]:
    """What the figures depend on, without naming the machine."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processors": str(os.cpu_count()),
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "user": "root" if os.geteuid() == 0 else "ordinary",
    }


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # what was prepared is taken down
    sys.exit(main(sys.argv[1:]))
