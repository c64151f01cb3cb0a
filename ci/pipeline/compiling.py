"""What our own dialect adds to steps and services → the fields of a StepSpec. Pure; called by `compile`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ci.pipeline import values
from ci.pipeline.spec import Health

if TYPE_CHECKING:
    from collections.abc import Callable

    from ci.pipeline.document import Step
    from ci.pipeline.source import Text

    T = TypeVar("T")


class Value(Protocol):
    """How texts become values."""

    def __call__(self, text: Text, read: Callable[[str], T], /) -> T:
        """The text, with the variables' values in it, as what it must be; raises CompileError."""


def additions(step: Step, value: Value) -> dict[str, Any]:
    """The fields by name; those that the step does not use are left out."""
    fields: dict[str, Any] = {}
    if step.wait is not None:
        fields["wait"] = value(step.wait, values.duration)
    if step.reports:
        fields["reports"] = tuple(value(text, values.artifact) for text in step.reports)
    if step.healthcheck is not None:
        fields["healthcheck"] = Health(
            command=tuple(value(text, str) for text in step.healthcheck.command),
            shell=step.healthcheck.shell,
            **{
                name: value(text, values.duration)
                for name, text in (("interval", step.healthcheck.interval), ("timeout", step.healthcheck.timeout))
                if text is not None
            },
        )
    return fields
