"""What the tests of `ci-run local` share: how it is started, what it may leave, and a pipeline of one step."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

from runners.engine import RUN_LABEL
from sandbox.runtime.engine import Engine

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from pathlib import Path

COMMAND = (sys.executable, "-m", "ci.cli.main", "local")


def left_behind(home: Path, project: str) -> None:
    """Fails when something of a run of this project is left, or anything at all of a run that is over."""
    engine = Engine(home)
    for _ in range(2):  # what another test's run removes meanwhile is gone the second time
        runs = {config.name: label(config.spec.labels) for config, _ in engine.containers(all=True)}
        runs |= {network.name: label(network.labels) for network in engine.networks.list()}
        left = {name for name, run in runs.items() if run and is_left(home, run, project)}
    engine.close()
    assert not left
    assert not [path for path in (home / "tmp").glob("run-*") if project in marks(home, path.name)]


def label(labels: Mapping[str, str]) -> str:
    """The run that something belongs to."""
    return labels.get(RUN_LABEL, "")


def is_left(home: Path, run: str, project: str) -> bool:
    """Whether a run is over, or this project's (whose runs have ended when this is asked)."""
    return not (home / "tmp" / run).is_dir() or project in marks(home, run)


def marks(home: Path, run: str) -> str:
    """What tells which project a run belongs to."""
    texts = []
    for path in (home / "tmp" / run).glob("*/mark"):
        try:
            texts.append(path.read_text())
        except OSError:
            continue
    return " ".join(texts)


def wait_for(process: subprocess.Popen[bytes], text: bytes) -> bytes:
    """Read the output until `text` is in it."""
    assert process.stdout is not None
    seen = b""
    while text not in seen:
        data = os.read(process.stdout.fileno(), 65536)
        assert data, seen
        seen += data
    return seen


def steps(*commands: str, image: str = "busybox") -> str:
    """A pipeline of one step."""
    lines = "".join(f"      - {json.dumps(command)}\n" for command in commands)
    return f"steps:\n  - name: one\n    image: {image}\n    commands:\n{lines}"


def wait_for_terminal(terminal: int, text: bytes) -> bytes:
    """Read what a terminal shows until `text` is in it."""
    seen = b""
    while text not in seen:
        seen += os.read(terminal, 65536)
    return seen
