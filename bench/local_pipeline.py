"""`ci-run local`, image warm: what Hako itself adds to the commands' own time.

One step whose command is `true`, whose own time is next to nothing, so that the whole wall time counts as ours; the
same in a project of 50,000 files that has been built before; and fifty steps at once beside the same commands by xargs.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.harness import OURS, Benchmark, Contender, Contest, Setup, Target, process
from bench.home import engine_home

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_XARGS = "xargs -P 50"
_PIPELINE = """\
steps:
  - name: only
    image: busybox
    commands:
      - "true"
"""


_STEPS = 50
_FILES = 50_000
_WORK = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"  # about half a second of one processor


def _commit(project: Path, pipeline: str) -> None:
    """Make a folder a repository with a pipeline, and two commits, of which the second changes little."""
    (project / ".ci.yml").write_text(pipeline)
    identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    for message in ("The project", "A change"):
        (project / "version").write_text(message)
        subprocess.run(["git", "add", "."], cwd=project, check=True)
        subprocess.run(["git", *identity, "commit", "-q", "-m", message], cwd=project, check=True)


def _build(setup: Setup, home: Path, project: Path) -> Contender:
    environment = {**os.environ, "HAKO_HOME": str(home)}
    command: list[str | Path] = [setup.commands / "ci-run", "local", "--quiet", ".ci.yml"]
    return Contender(name=OURS, measure=process(command, environment=environment, directory=project))


@contextmanager
def _large(setup: Setup) -> Iterator[Contest]:
    with engine_home(setup) as home:
        project = setup.directory / "project"
        for folder in range(_FILES // 100):
            (project / f"d{folder // 50}/s{folder}").mkdir(parents=True)
            for number in range(100):
                (project / f"d{folder // 50}/s{folder}/f{number}.c").write_text(f"int x{folder}_{number};\n" * 20)
        _commit(project, _PIPELINE)
        contender = _build(setup, home, project)
        contender.measure()  # the first build copies everything
        yield Contest(
            contenders=(
                contender,
                Contender(name="git status, for orientation", measure=process(["git", "-C", project, "status"])),
            )
        )


@contextmanager
def _fifty_steps(setup: Setup) -> Iterator[Contest]:
    with engine_home(setup) as home:
        project = setup.directory / "project"
        project.mkdir()
        steps = "".join(f"  - {{name: s{n}, commands: [{_WORK!r}], depends_on: []}}\n" for n in range(_STEPS))
        _commit(project, f"image: busybox\nsteps:\n{steps}")
        script = f"seq {_STEPS} | xargs -P {_STEPS} -I{{}} busybox sh -c '{_WORK}'"
        yield Contest(
            contenders=(
                _build(setup, home, project),
                Contender(name=_XARGS, measure=process(["sh", "-c", script])),
            )
        )


@contextmanager
def _one_step(setup: Setup) -> Iterator[Contest]:
    with engine_home(setup) as home:
        project = setup.directory / "project"
        project.mkdir()
        _commit(project, _PIPELINE)
        yield Contest(
            contenders=(
                _build(setup, home, project),
                Contender(name="git status, for orientation", measure=process(["git", "-C", project, "status"])),
            )
        )


BENCHMARKS = (
    Benchmark(
        name="local-one-step",
        title="ci-run local, one step, warm image: our own share",
        prepare=_one_step,
        targets=(Target(limit=400), Target(limit=300)),
    ),
    Benchmark(
        name="local-large",
        title="ci-run local, one step, 50,000 files, built before",
        prepare=_large,
        targets=(Target(limit=1000),),
        rounds=5,
    ),
    Benchmark(
        name="local-fifty-steps",
        title="ci-run local, 50 steps at once, beside the same commands under xargs -P",
        prepare=_fifty_steps,
        targets=(Target(peer=_XARGS, limit=1.2),),
        rounds=3,
    ),
)
