"""What our own dialect adds to steps and services, checked one container at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.pipeline import values

if TYPE_CHECKING:
    from ci.pipeline.document import Step
    from ci.pipeline.lint.values import Values


def check_container(step: Step, check: Values) -> None:
    """Check the additions of a step or a service."""
    _check_waiting(step, check)


def _check_waiting(step: Step, check: Values) -> None:
    check.check(step.wait, values.duration)
    if step.healthcheck is not None:
        for text in step.healthcheck.command:
            check.check(text)
        check.check(step.healthcheck.interval, values.duration)
        check.check(step.healthcheck.timeout, values.duration)
    elif step.wait is not None and not step.ports:
        message = f'there is nothing to wait for: "{step.name.value}" has neither ports nor a healthcheck'
        check.report.warning("nothing-to-wait-for", step.wait.position, message, 'write "ports:" or "healthcheck:"')
