"""Progress for programs: `--progress=rawjson`, a JSON document a line in the form of BuildKit's SolveStatus.

`vertexes` say when a step began and ended, `logs` what it printed (in base64), `warnings` what the builder remarks. A
step's `digest` names it within one build alone.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from sandbox.builder.progress import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.builder.progress import Step

_STDOUT = 1


class JsonDisplay:
    """`write` takes lines of bytes; `now` gives the time of day as RFC 3339."""

    def __init__(self, write: Callable[[bytes], object], now: Callable[[], str]) -> None:
        self._write = write
        self._now = now
        self._started: dict[int, str] = {}

    def begun(self, step: Step) -> None:
        """A vertex without an end."""
        self._started[step.number] = self._now()
        self._say("vertexes", self._vertex(step))

    def printed(self, step: Step, line: bytes) -> None:
        """The line with its end."""
        data = b64encode(line + b"\n").decode()
        self._say("logs", {"vertex": _digest(step), "stream": _STDOUT, "data": data, "timestamp": self._now()})

    def noted(self, step: Step, text: str) -> None:
        """A remark is a warning of the vertex."""
        self._say("warnings", {"vertex": _digest(step), "short": b64encode(text.encode("utf-8", "replace")).decode()})

    def ended(self, step: Step) -> None:
        """The vertex with its end, and with an error if there is one."""
        vertex = self._vertex(step) | {"completed": self._now()}
        if step.outcome is Outcome.CACHED:
            vertex["cached"] = True
        elif step.outcome is Outcome.FAILED:
            vertex["error"] = step.message
        elif step.outcome is Outcome.CANCELLED:
            vertex["error"] = "context canceled"
        self._say("vertexes", vertex)

    def suspend(self, step: Step) -> None:
        """All that it printed is there."""

    def resume(self) -> None:
        """The next line is as any other."""

    def close(self) -> None:
        """Every line is complete already."""

    def _vertex(self, step: Step) -> dict[str, Any]:
        return {"digest": _digest(step), "name": step.name, "started": self._started[step.number]}

    def _say(self, kind: str, what: dict[str, Any]) -> None:
        self._write(json.dumps({kind: [what]}, separators=(",", ":")).encode("utf-8", "replace") + b"\n")


def _digest(step: Step) -> str:
    return f"sha256:{hashlib.sha256(f'{step.number} {step.name}'.encode('utf-8', 'surrogateescape')).hexdigest()}"
