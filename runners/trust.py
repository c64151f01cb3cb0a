"""What a Stage may only do that its repository is trusted with: it reaches out of its containers.

The server's linter says it with the line; a runner looks again, because a server that was deceived, or that somebody
has broken into, must not be enough to own the runners' hosts. Called by `worker`, and by `ci-run local` for what a
person has not allowed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ci.pipeline.spec import StageSpec, StepSpec


def wants(step: StepSpec) -> str:
    """The first thing by which a step reaches out, as the rest of a sentence "… wants …"; empty where there is none."""
    if step.privileged:
        return "privileged"
    for mount in step.volumes:
        if mount.host:
            return f"the host's folder {mount.host}"
    if step.network_mode == "host":
        return "the host's network"
    return next((f"the host's device {device.source}" for device in step.devices), "")


def refusal(stage: StageSpec) -> str:
    """Why the Stage must not run for a repository that nobody trusts; empty where it may."""
    for step in (*stage.services, *stage.steps):
        what = wants(step)
        if what:
            return f"{step.name} wants {what}, and the repository is not trusted"
    return ""
