"""The examples of docs/pipeline.md run, those that need no other image than the smallest, on the real engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import ci.pipeline
from ci.pipeline.compile import compile_all
from ci.pipeline.event import Event
from tests.ci.pipeline.test_documentation import EXAMPLES, Templates

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from ci.pipeline.spec import StageSpec

pytestmark = pytest.mark.root


def stages(text: str) -> tuple[StageSpec, ...]:
    """What an example compiles to."""
    return compile_all(ci.pipeline.load(text, library=Templates()).require(), Event(branch="main", repository="a/b"))


def images(text: str) -> set[str]:
    """The images that it wants."""
    return {step.image for stage in stages(text) for step in (*stage.steps, *stage.services)}


RUNNABLE = [number for number, text in enumerate(EXAMPLES) if images(text) == {"busybox"}]


@pytest.mark.parametrize("number", RUNNABLE)
def test_an_example_runs(ci_run: Callable[..., subprocess.CompletedProcess[str]], number: int) -> None:
    """To a good end, given the secrets that it wants."""
    names = {name for stage in stages(EXAMPLES[number]) for step in stage.steps for name in step.secret_names}
    secrets = [word for name in names for word in ("--secret", f"{name}=a-secret")]
    done = ci_run(EXAMPLES[number], "--trusted", *secrets)
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_some() -> None:
    """The page has not lost them."""
    assert len(RUNNABLE) > 8
