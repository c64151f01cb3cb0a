"""`sandbox build --shell-on-failure`: a shell in the container as the failing RUN left it, with its mounts.

The shell is the `sandbox start` of a process of its own: signals and the terminal are that one's, in whichever thread
the build is.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.cli.output import tell
from sandbox.errors import NotFoundError

if TYPE_CHECKING:
    from sandbox.image.image import Image
    from sandbox.runtime.engine import Engine
    from sandbox.runtime.spec import ContainerSpec


def open_shell(engine: Engine, spec: ContainerSpec, image: Image) -> None:
    """Stay in the shell until it ends; the container goes with it."""
    tell(f"sandbox: {' '.join(spec.command or ())} in the container as the command left it; `exit` ends the build")
    identifier = engine.create(spec, image)
    try:
        root = str(Path(__file__).resolve().parents[2])
        program = f"import sys; sys.path.insert(0, {root!r}); from sandbox.cli.entry import main; sys.exit(main())"
        words = ["--home", str(engine.home), "start", "--attach", "--interactive", identifier]
        with suppress(KeyboardInterrupt):  # between two modes of the terminal
            subprocess.run([sys.executable, "-I", "-c", program, *words], check=False)
    finally:
        with suppress(NotFoundError):
            engine.remove(identifier, force=True)
