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
