"""What a large pipeline file costs before anything runs: lint and compile of 500 steps, in each dialect."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.harness import OURS, Benchmark, Contender, Contest, Setup, Target, process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_STEPS = 500
_COMPILE = """
import gc, pathlib, sys
gc.disable()
from ci.pipeline.compile import compile_all
from ci.pipeline.event import Event
from ci.pipeline.loading import load
name = sys.argv[1]
(stage,) = compile_all(load(pathlib.Path(name).read_bytes(), name).require(), Event(branch="main", commit="0" * 40))
assert len(stage.steps) == int(sys.argv[2])
"""
_STEP = """\
- name: step-{number}
  image: alpine:3.19
  commands:
  - make step-{number}
  - echo "{value}"
  environment:
    NUMBER: {number}
    BRANCH: {branch}
  when:
    branch: main
    event: [push, tag]
  depends_on: [{before}]
"""
# The names of files, what begins them, and how a step names a part of the commit and the branch.
_DIALECTS = (
    (".ci.yml", "", "$CI_COMMIT_SHA", "${CI_COMMIT_BRANCH}"),
    (".drone.yml", "kind: pipeline\nname: default\n", "${DRONE_COMMIT_SHA:0:8}", "${DRONE_BRANCH}"),
    (".woodpecker.yml", "", "${CI_COMMIT_SHA:0:8}", "${CI_COMMIT_BRANCH}"),
)


@contextmanager
def _large_file(setup: Setup) -> Iterator[Contest]:
    contenders = []
    for name, head, value, branch in _DIALECTS:
        path = setup.directory / name
        steps = (
            _STEP.format(number=number, value=value, branch=branch, before=f"step-{number - 1}" if number else "")
            for number in range(_STEPS)
        )
        path.write_text(f"{head}steps:\n{''.join(steps)}")
        command: list[str | Path] = [setup.commands / "python", "-c", _COMPILE, path, str(_STEPS)]
        contenders.append(Contender(name=OURS if name == ".ci.yml" else name, measure=process(command)))
        contenders.append(
            Contender(name=f"ci-run lint {name}", measure=process([setup.commands / "ci-run", "lint", path]))
        )
    yield Contest(contenders=tuple(contenders))


BENCHMARKS = (
    Benchmark(
        name="pipeline-file",
        title=f"lint and compile of {_STEPS} steps, whole process",
        prepare=_large_file,
        targets=tuple(Target(limit=200, contender=name) for name in (OURS, ".drone.yml", ".woodpecker.yml")),
    ),
)
