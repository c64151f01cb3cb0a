"""`ci-run local` on a pipeline of one step, image warm: what Hako itself adds to the command's own time.

The step's command is `true`, whose own time is next to nothing, so the whole wall time counts as ours.
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

_PIPELINE = """\
steps:
  - name: only
    image: busybox
    commands:
      - "true"
"""


@contextmanager
def _one_step(setup: Setup) -> Iterator[Contest]:
    with engine_home(setup) as home:
        project = setup.directory / "project"
        project.mkdir()
        (project / ".ci.yml").write_text(_PIPELINE)
        identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"]
        for arguments in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "One step"]):
            subprocess.run(["git", *arguments], cwd=project, check=True)
        environment = {**os.environ, "HAKO_HOME": str(home)}
        command: list[str | Path] = [setup.commands / "ci-run", "local", ".ci.yml"]
        yield Contest(
            contenders=(
                Contender(name=OURS, measure=process(command, environment=environment, directory=project)),
                Contender(name="git status, for orientation", measure=process(["git", "-C", project, "status"])),
            )
        )


BENCHMARKS = (
    Benchmark(
        name="local-one-step",
        title="ci-run local, one step, warm image: our own share",
        prepare=_one_step,
        targets=(Target(limit=400),),
    ),
)
