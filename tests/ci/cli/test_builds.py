"""Steps of `ci-run local` that build images, on the real engine."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from sandbox.builder.running import BUILD_LABEL
from sandbox.runtime.engine import Engine
from tests.ci.cli.running import wait_for

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.root


def test_later_steps_run_in_the_image(
    ci_run: Callable[..., subprocess.CompletedProcess[str]], project: Path, engine_home: Path
) -> None:
    """Built of files that a step has made, with arguments and a target; afterwards no image of it is left."""
    (project / "docker").mkdir()
    (project / "docker" / "Dockerfile").write_text(
        "FROM busybox AS base\nARG WORD\nCOPY made /made\nRUN echo $WORD > /word\nFROM base AS after\nRUN exit 1\n"
    )
    done = ci_run("""
steps:
  - name: make
    image: busybox
    commands: [echo by a step > docker/made]
  - name: app
    build: {context: docker, target: base, args: {WORD: hello}}
  - name: use
    image: app
    commands: [cat /made /word]
""")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "use  | by a step\nuse  | hello\n" in done.stdout
    engine = Engine(engine_home)
    names = [name for image in engine.images.list() for name in image.references]
    engine.close()
    assert not [name for name in names if name.startswith("hako-built/")]


def test_secrets_of_a_build(ci_run: Callable[..., subprocess.CompletedProcess[str]], project: Path) -> None:
    """`RUN --mount=type=secret` finds the step's by name and by variable; no layer has them, and output is masked."""
    (project / "Dockerfile").write_text(
        "FROM busybox\n"
        'RUN --mount=type=secret,id=npm_token test "$(cat /run/secrets/npm_token)" = hunter22\n'
        "RUN --mount=type=secret,id=TOKEN,env=TOKEN echo got $TOKEN\n"
    )
    done = ci_run(
        """
steps:
  - name: app
    build: .
    environment: {TOKEN: {from_secret: npm_token}}
  - name: use
    image: app
    commands: ['test -z "$(ls -A /run/secrets)"']
""",
        "--secret",
        "npm_token=hunter22",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "got ********" in done.stdout
    assert "hunter22" not in done.stdout


def test_a_build_that_fails(ci_run: Callable[..., subprocess.CompletedProcess[str]], project: Path) -> None:
    """The step has failed, with what the Dockerfile printed; what it is not there for, is said in one line."""
    (project / "Dockerfile").write_text("FROM busybox\nRUN echo this breaks; exit 3\n")
    done = ci_run("steps: [{name: app, build: .}, {name: use, image: app, commands: ['true']}]")
    assert done.returncode == 1
    assert "this breaks" in done.stdout
    assert "app ! failed with exit code" in done.stdout
    assert "use - skipped: app failed" in done.stdout
    done = ci_run("steps: [{name: app, build: {dockerfile: missing/Dockerfile}}]")
    assert done.returncode == 1
    assert "app ! could not run: the Dockerfile 'missing/Dockerfile' cannot be read: no such file" in done.stdout


def test_links_lead_nowhere(
    ci_run: Callable[..., subprocess.CompletedProcess[str]], project: Path, tmp_path: Path
) -> None:
    """A Dockerfile or a context that a step has made a link is looked for in the workspace."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "Dockerfile").write_text("FROM busybox\n")
    (project / "context").symlink_to(outside)
    done = ci_run("steps: [{name: app, build: context}]")
    assert done.returncode == 1
    assert "app ! could not run: " in done.stdout


def test_ctrl_c_ends_a_build(
    background: Callable[..., subprocess.Popen[bytes]], project: Path, engine_home: Path
) -> None:
    """With the container of its RUN."""
    (project / "Dockerfile").write_text("FROM busybox\nRUN echo has begun; sleep 1000\n")
    process = background("steps: [{name: app, build: .}]")
    wait_for(process, b"has begun\n")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    engine = Engine(engine_home)
    for _ in range(100):  # another test's build may be running
        left = [
            one
            for one, _ in engine.containers(all=True)
            if BUILD_LABEL in one.spec.labels and "sleep 1000" in str(one.argv)
        ]
        if not left:
            break
        time.sleep(0.1)
    engine.close()
    assert not left
