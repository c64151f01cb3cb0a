"""The example of the manual's page on builds does what it says."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.project import markdown
from tests.sandbox.command import COMMAND

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox.command import Sandbox


@pytest.mark.slow
def test_the_example(sandbox: Sandbox, repository: Path, tmp_path: Path) -> None:
    """As a reader would type it, in a shell that ends with the first mistake."""
    (block,) = [one for one in markdown.read(repository / "docs" / "build.md").blocks if one.language == "sh"]
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "sandbox").write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    (tools / "sandbox").chmod(0o755)
    environment = sandbox.environment | {"PATH": f"{tools}:{sandbox.environment['PATH']}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "hello you\nindex.json\nand more\n"
