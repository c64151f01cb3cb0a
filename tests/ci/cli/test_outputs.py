"""Outputs of steps in `ci-run local`, on the real engine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

pytestmark = pytest.mark.root


def test_steps_hand_values_on(ci_run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """From a step that is not root, and over several lines; what looks like a command is a value."""
    done = ci_run(
        """
image: busybox
steps:
  - name: plan
    user: "1000"
    commands:
      - echo 'word=$(touch /hako/src/made) `id` "x' >> "$CI_OUTPUT"
      - printf 'lines<<END\\none\\ntwo\\nEND\\n' >> "$CI_OUTPUT"
      - echo "token=$TOKEN" >> "$CI_OUTPUT"
    secrets: [token]
  - name: use
    commands:
      - test ! -e made
      - test "$WORD" = '$(touch /hako/src/made) `id` "x'
      - test "$LINES" = "$(printf 'one\\ntwo')"
      - test "$(cat "$CI_OUTPUT")" = ""
      - echo "got $GIVEN"
    environment:
      WORD: {from_output: plan.word}
      LINES: {from_output: plan.lines}
      GIVEN: {from_output: plan.token}
""",
        "--json",
        "--secret",
        "token=hunter22",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hunter22" not in done.stdout
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert "got ********" in [one["line"] for one in events if one["event"] == "output"]
    (plan,) = (one for one in events if one["event"] == "step-finished" and one["step"] == "plan")
    assert plan["outputs"] == {"word": '$(touch /hako/src/made) `id` "x', "lines": "one\ntwo", "token": "********"}


def test_stages_hand_values_on(ci_run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """To the stages that wait for them; where the stage is left out by a person, the variable is not set."""
    text = """
name: plan
image: busybox
steps:
  - {name: list, commands: ['echo "v=1.2" >> "$CI_OUTPUT"']}
---
name: use
image: busybox
depends_on: plan
steps:
  - name: show
    commands: ['echo "got ${V-nothing}"']
    environment: {V: {from_output: plan/list.v}}
"""
    done = ci_run(text)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "got 1.2" in done.stdout
    assert "got nothing" in ci_run(text, "--only", "use").stdout


def test_an_enormous_file_is_not_read(ci_run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """The step has failed, with the limit."""
    done = ci_run("steps: [{name: a, image: busybox, commands: ['truncate -s 5G $CI_OUTPUT']}]")
    assert done.returncode == 1
    assert "the outputs are larger than 1 MiB" in done.stdout
