"""What steps have written for those after them: read once, handed on as it is, shown masked.

`runners.stage` gives it what a container of its own wrote, which may be anything (`ci.pipeline.outputs`), and what the
steps of earlier Stages have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.pipeline import outputs
from runners.backend import BackendError
from runners.masking import masked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci.pipeline.spec import StepSpec


class Handover:
    """The outputs by steps. `patterns` are the secrets to mask (`masking`), `earlier` outputs by `stage/step`."""

    def __init__(self, patterns: tuple[bytes, ...], earlier: Mapping[str, Mapping[str, str]]) -> None:
        self._patterns = patterns
        self._earlier = earlier
        self._written: dict[str, Mapping[str, str]] = {}

    @property
    def written(self) -> Mapping[str, Mapping[str, str]]:
        """Those of this Stage's steps, as they are: not to be shown."""
        return self._written

    def read(self, step: StepSpec, data: bytes) -> None:
        """Take what a step wrote. Raises OutputError; the step has none then."""
        self._written.pop(step.name, None)
        self._written[step.name] = outputs.parse(data)

    def recall(self, step: StepSpec, known: Mapping[str, str]) -> None:
        """Take what a step wrote when it ran."""
        self._written[step.name] = known

    def shown(self, step: StepSpec) -> dict[str, str]:
        """A step's outputs, masked."""
        return {name: masked(self._patterns, value) for name, value in self._written.get(step.name, {}).items()}

    def holds_secrets(self, step: StepSpec) -> bool:
        """Whether a step has written a secret."""
        return self.shown(step) != self._written.get(step.name, {})

    def variables(self, step: StepSpec) -> dict[str, str]:
        """What a step gets from those before it; of one that did not run, nothing. Raises BackendError."""
        found = {}
        for variable, source in step.outputs.items():
            written = self._written.get(source.step, self._earlier.get(source.step))
            if written is None:
                continue
            if source.name not in written:
                known = f"it wrote {', '.join(written)}" if written else "it wrote none"
                raise BackendError(f"{source.step} has no output {source.name!r}", hint=known)
            found[variable] = written[source.name]
        return found
