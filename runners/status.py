"""The variables that say how a Stage stands when a step begins: the only ones that a compiler cannot know.

Pure, called by `runners.stage`. Compiled steps have them as they are while all is well; here those of a Stage with a
failure are put right, for the steps that run after one (`when.status`). Named by Woodpecker (CI_) and drone (DRONE_).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runners.schedule import StepResult

_STATUS = ("CI_PIPELINE_STATUS", "DRONE_BUILD_STATUS", "DRONE_STAGE_STATUS")


def corrected(environment: Mapping[str, str], results: Iterable[StepResult]) -> dict[str, str]:
    """What of a step's environment is different now; names that it does not have are not added."""
    failed = [result.name for result in results if result.state.bad]
    if not failed:
        return {}
    changed = {name: "failure" for name in _STATUS if environment.get(name) == "success"}
    if "DRONE_STAGE_STATUS" in changed:
        changed["DRONE_FAILED_STEPS"] = ",".join(failed)
    return changed
