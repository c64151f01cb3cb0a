"""The options of a healthcheck, `--health-…`. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.cli.options import Option, UsageError

if TYPE_CHECKING:
    from sandbox.cli.options import Arguments
    from sandbox.image.config import Healthcheck

OPTIONS = (
    Option(("--health-cmd",), "command of a shell in the container that says whether it is well", "COMMAND"),
    Option(("--health-interval",), "time between two checks (30s)", "TIME"),
    Option(("--health-timeout",), "time that a check may take (30s)", "TIME"),
    Option(("--health-retries",), "failures in a row that make it unhealthy (3)", "NUMBER"),
    Option(("--health-start-period",), "time at the start when failures do not count (0s)", "TIME"),
    Option(("--health-start-interval",), "time between two checks then (5s)", "TIME"),
    Option(("--no-healthcheck",), "no checks, also where the image has one"),
)
_TIMES = ("interval", "timeout", "start-period", "start-interval")


def healthcheck(arguments: Arguments) -> Healthcheck | None:
    """What the line says; None where it says nothing."""
    given = [key for key in ("cmd", "retries", *_TIMES) if arguments.given(f"health-{key}")]
    without = arguments.flag("no-healthcheck")
    if not given and not without:
        return None
    if given and without:
        raise UsageError(f"--no-healthcheck and --health-{given[0]} contradict each other", hint="leave one out")
    from sandbox.cli.moments import length  # noqa: PLC0415  (few lines have any)
    from sandbox.image.config import Healthcheck  # noqa: PLC0415

    if without:
        return Healthcheck(test=("NONE",))
    times = {}
    for key in _TIMES:
        if arguments.given(f"health-{key}"):
            seconds = length(arguments.text(f"health-{key}"), f"--health-{key}")
            if 0 < seconds < 0.001:
                raise UsageError(
                    f"--health-{key} {arguments.text(f'health-{key}')!r} is too short", hint="1ms at least"
                )
            times[key.replace("-", "_")] = int(seconds * 1e9)
    command = arguments.text("health-cmd")
    return Healthcheck(
        test=("CMD-SHELL", command) if command else (), retries=arguments.number("health-retries") or 0, **times
    )
