"""`ci-run local` as somebody who is not root and has no login session: with subordinate ids, and without."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.sandbox.kernel.children import account_with_ranges, account_without_ranges
from tests.sandbox.runtime.person import person

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox.kernel.children import Account

pytestmark = pytest.mark.slow

_PIPELINE = """
services:
  - {name: db, image: busybox, commands: ["sleep 600"]}
steps:
  - name: make
    image: busybox
    commands: [id -u, echo content > made]
  - name: look
    image: busybox
    commands: [cat made, cat given]
"""


@pytest.mark.parametrize("account", [account_with_ranges, account_without_ranges], ids=["range", "single"])
def test_a_pipeline(account: Callable[[], Account]) -> None:
    """A service and steps that share the workspace; the project stays as it was, and nothing goes on afterwards."""
    with person(account()) as somebody:
        project = somebody.home / "project"
        project.mkdir()
        (project / "given").write_text("given by hand\n")
        (project / ".ci.yml").write_text(_PIPELINE)
        for path in (project, project / "given", project / ".ci.yml"):
            os.chown(path, somebody.account.uid, somebody.account.gid)
        assert somebody.sandbox("bootstrap", "busybox").returncode == 0
        done = somebody.run("-m", "ci.cli.main", "local", str(project / ".ci.yml"))
        assert done.returncode == 0, done.stdout + done.stderr
        assert "look | content" in done.stdout
        assert "look | given by hand" in done.stdout
        assert sorted(path.name for path in project.iterdir()) == [".ci.yml", "given"]
        assert somebody.sandbox("ps", "-aq").stdout == ""


_ADDITIONS = """
image: busybox
services:
  - name: db
    image: busybox
    commands: ["sleep 0.2; touch /ready; sleep 600"]
    healthcheck: {command: "test -e /ready", interval: 100ms}
steps:
  - name: fetch
    commands: ['cat deps/from /tool/from || echo nothing', mkdir -p deps, date > deps/from, date > /tool/from]
    cache: {paths: [deps, /tool], key: "{{ checksum given }}"}
  - name: plan
    user: "1000"
    commands: ['echo "word=$(cat given)" >> "$CI_OUTPUT"']
  - name: app
    build: .
  - name: test
    image: app
    commands: ['test "$WORD" = "given by hand"', 'printf "1..1\\nok 1\\n" > t.tap', cat /built]
    environment: {WORD: {from_output: plan.word}}
    report: t.tap
"""


def test_what_steps_can_do() -> None:
    """Healthchecks, outputs, caches, builds and reports, in an account with subordinate ids."""
    with person(account_with_ranges()) as somebody:
        project = somebody.home / "project"
        project.mkdir()
        (project / "given").write_text("given by hand\n")
        (project / "Dockerfile").write_text("FROM busybox\nRUN echo by a build > /built\n")
        (project / ".ci.yml").write_text(_ADDITIONS)
        for path in (project, *project.iterdir()):
            os.chown(path, somebody.account.uid, somebody.account.gid)
        assert somebody.sandbox("bootstrap", "busybox").returncode == 0
        for again in (False, True):
            done = somebody.run("-m", "ci.cli.main", "local", str(project / ".ci.yml"))
            assert done.returncode == 0, done.stdout + done.stderr
            assert ("fetch | nothing" in done.stdout) != again
            assert "test  | by a build" in done.stdout
            assert "1 test passed" in done.stdout
        assert somebody.run("-m", "ci.cli.main", "cache", "rm", "--all").stdout.startswith("removed 1 cache, ")
        assert somebody.sandbox("ps", "-aq").stdout == ""
