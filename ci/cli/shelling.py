"""A shell in what a failed step left: `sandbox run` with the step's files, workspace, variables and network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci.cli.keeping import Kept

_ROOT = str(Path(__file__).resolve().parents[2])


def command(kept: Kept, names: Mapping[str, str], *, terminal: bool, network: str = "") -> list[str]:
    """The words of `sandbox`. Variables are named only: their values, which `ps` would show, are in its environment."""
    words = ["run", "--rm", "--interactive", *(["--tty"] if terminal else [])]
    words += ["--volume", f"{kept.workspace}:{kept.target}", "--workdir", kept.working_dir]
    for mount in kept.mounts:
        words += ["--volume", mount]
    for name in names:
        words += ["--env", name]
    if kept.user:
        words += ["--user", kept.user]
    if network:
        words += ["--network", network]
    return [*words, "--entrypoint", kept.shell, kept.image]


def open_shell(kept: Kept, secrets: Mapping[str, str], home: str, *, network: str = "") -> int:
    """Run it on this terminal until it ends; its exit code. `secrets` are variables that are not kept."""
    environment = {**kept.environment, **secrets}
    words = command(kept, environment, terminal=os.isatty(0) and os.isatty(1), network=network)
    # -I: a step's variables, PYTHONPATH say, are for the container and not for the engine's interpreter.
    program = f"import sys; sys.path.insert(0, {_ROOT!r}); from sandbox.cli.main import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, *words], env={**os.environ, **environment, "HAKO_HOME": home}, check=False
    )
    return done.returncode
