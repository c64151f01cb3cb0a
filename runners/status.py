"""The variables that say how a build and its Stage stand when a step begins: what a compiler cannot know.

Pure, called by `runners.stage`. Compiled steps have them as they are while all is well; here those after a failure are
put right, for the steps that run after one (`when.status`). Named by Woodpecker (CI_) and drone (DRONE_).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runners.schedule import StepResult

_BUILD = ("CI_PIPELINE_STATUS", "DRONE_BUILD_STATUS")
_STAGE = "DRONE_STAGE_STATUS"


def corrected(
    environment: Mapping[str, str], results: Iterable[StepResult], failed_stages: Iterable[str] = ()
) -> dict[str, str]:
    """What of a step's environment is different now; names that it does not have are not added.

    `results` are those of its own Stage, `failed_stages` the names of others of the build.
    """
    steps = ",".join(result.name for result in results if result.state.bad)
    stages = ",".join(failed_stages)
    names = (*_BUILD, *(_STAGE,) * bool(steps)) if steps or stages else ()
    changed = {name: "failure" for name in names if environment.get(name) == "success"}
    if _STAGE in environment:  # where there is one, there are all of drone's
        changed |= {
            name: value for name, value in (("DRONE_FAILED_STEPS", steps), ("DRONE_FAILED_STAGES", stages)) if value
        }
    return changed
