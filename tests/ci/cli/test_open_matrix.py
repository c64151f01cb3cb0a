"""Matrices that a step writes, in `ci-run local` on the real engine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

pytestmark = pytest.mark.root

_PIPELINE = """
name: plan
image: busybox
steps:
  - name: list
    commands: ["printf 'names=%s\\\\n' \\"$LIST\\" >> $CI_OUTPUT"]
---
name: greet
image: busybox
depends_on: plan
matrix:
  NAME: {from_output: plan/list.names}
steps:
  - name: hello
    commands: [echo "hello $NAME" > "greeting-$NAME", 'test "$(echo greeting-*)" = "greeting-$NAME"']
    artifacts: "greeting-*"
  - name: other
    commands: [echo other]
---
name: collect
image: busybox
depends_on: greet
steps:
  - name: all
    commands: [cat greeting-*]
"""


def test_cells_of_an_output(ci_run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """They run as if the file had them, with workspaces, artifacts and options of their own; the summary has them."""
    done = ci_run(_PIPELINE, "--env", 'LIST=["ada","grace"]', "--skip", "other")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ci-run: greet: 2 cells from plan/list.names: ada, grace\n" in done.stdout
    assert "greet[ada]/other   - skipped: left out" in done.stdout
    assert "| hello ada\n" in done.stdout
    assert "| hello grace\n" in done.stdout
    assert "4 of 4 stages passed" in done.stdout
    done = ci_run(_PIPELINE, "--env", 'LIST=["ada","grace"]', "--matrix", "NAME=grace", "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    (cells,) = (one["cells"] for one in events if one["event"] == "stage-expanded")
    assert cells == [{"stage": "greet", "number": 5, "matrix": {"NAME": "grace"}}]
    assert [stage["name"] for stage in events[-1]["stages"]] == ["plan", "greet", "collect"]


def test_what_makes_no_matrix(ci_run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """An empty list skips the stage; what is no list, and a secret, is an error of it."""
    done = ci_run(_PIPELINE, "--env", "LIST=[]", "--only", "plan", "--only", "greet")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "its matrix has no cells" in done.stdout
    done = ci_run(_PIPELINE, "--env", "LIST=ada")
    assert done.returncode == 1
    assert "ci-run: greet: plan/list.names is not JSON\n" in done.stdout
    pipeline = _PIPELINE.replace(
        '    commands: ["printf', '    secrets: [{source: it, target: LIST}]\n    commands: ["printf'
    )
    done = ci_run(pipeline, "--secret", 'it=["hunter22"]')
    assert done.returncode == 1
    assert "hunter22" not in done.stdout
    assert "plan/list.names has a secret in it, and what a matrix holds is shown" in done.stdout


def test_trust_is_asked_for_what_the_cells_want(ci_run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """A matrix brings nothing in that the file would have been refused for."""
    pipeline = _PIPELINE.replace("  - name: hello\n", "  - name: hello\n    volumes: ['${NAME}:/host']\n")
    done = ci_run(pipeline, "--env", 'LIST=["/etc"]')
    assert done.returncode == 1
    assert "hello wants the host's folder /etc" in done.stdout
