"""`--shell-on-failure`, as a person at a terminal uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sandbox.person import Person

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox.command import Sandbox

pytestmark = pytest.mark.slow  # in sum: each builds an image


def test_a_shell_has_what_the_command_left(sandbox: Sandbox, tmp_path: Path) -> None:
    """Its files, folder, variables and mounts are there; the build fails when the shell has ended; nothing is left."""
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox\nWORKDIR /place\nENV A=1\n"
        "RUN --mount=type=bind,target=/mnt echo half > done; echo about to fail; exit 3\n"
    )
    person = Person(sandbox, "build", "--no-cache", "--shell-on-failure", str(tmp_path))
    try:
        person.see("about to fail\r\n")
        person.see("# ")
        person.type("cat /place/done; pwd; echo $A; ls /mnt\r")
        person.see("half\r\n/place\r\n1\r\nDockerfile\r\n")
        person.type("exit 0\r")
        person.see("exit code: 3")
        assert person.leave() == 1
    finally:
        person.close()
    assert "half" not in sandbox("ps", "-a", "--no-trunc").stdout


def test_an_image_without_a_shell(sandbox: Sandbox, tmp_path: Path) -> None:
    """That is said, and the build ends as it would have."""
    (tmp_path / "Dockerfile").write_text(
        'FROM busybox AS b\nFROM scratch\nCOPY --from=b /bin/busybox /\nRUN ["/busybox", "false"]\n'
    )
    person = Person(sandbox, "build", "--no-cache", "--progress=plain", "--shell-on-failure", str(tmp_path))
    try:
        person.see("cannot run '/bin/sh'")
        person.see("exit code: 1")
        assert person.leave() == 1
    finally:
        person.close()


def test_it_needs_a_terminal(sandbox: Sandbox, tmp_path: Path) -> None:
    """Said before anything is done."""
    assert "needs a terminal" in sandbox("build", "--shell-on-failure", str(tmp_path)).stderr
