"""Which secrets a Stage may have: decided here, when a runner takes it, for every step by itself. Pure.

A secret is of a repository, of its owner (an organisation) or of the whole server; the nearest of a name counts. It may
be limited to kinds of event, to branches and to images. A pull request from a fork has none: whoever opens one writes
the commands. A secret that is limited to images is for plugins, steps without commands of the pipeline's own: with
commands, whoever may change the pipeline could print it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci.pipeline.event import EventKind
from ci.pipeline.glob import Glob

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ci.pipeline.event import Event
    from ci.pipeline.spec import StageSpec, StepSpec

# All but pull requests: what somebody has put into the repository, or asked for by hand.
DEFAULT_EVENTS = frozenset(kind for kind in EventKind if not kind.of_pull_request)
# Variables by which somebody else's program is made to do one's own work.
_STEERING = frozenset(
    (
        "PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "BASH_ENV", "ENV", "PYTHONPATH", "PYTHONSTARTUP",
        "NODE_OPTIONS", "PERL5OPT", "RUBYOPT", "GIT_SSH_COMMAND", "GIT_CONFIG_COUNT",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """`repository` and `owner` empty: the server's. Empty `branches` and `images`: any."""

    name: str
    value: str
    owner: str = ""
    repository: str = ""
    events: frozenset[EventKind] = DEFAULT_EVENTS
    branches: tuple[str, ...] = ()
    images: tuple[str, ...] = ()

    @property
    def nearness(self) -> int:
        """How near it is to a repository."""
        return 2 if self.repository else 1 if self.owner else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """`values` by name are for the runner. `refusals`: a line for each use that is not allowed, by the step's name."""

    values: Mapping[str, str]
    refusals: tuple[tuple[str, str], ...] = ()


def choose(secrets: Iterable[Secret], event: Event, spec: StageSpec) -> Chosen:
    """What a Stage of this event gets of those that its repository sees."""
    nearest: dict[str, Secret] = {}
    for secret in secrets:
        if secret.name not in nearest or nearest[secret.name].nearness < secret.nearness:
            nearest[secret.name] = secret
    uses = [(step, name) for step in (*spec.services, *spec.steps) for name in sorted(_wanted(step)) if name in nearest]
    reasons = [(step.name, name, _refusal(nearest[name], event, step)) for step, name in uses]
    # One that a step of the Stage must not have is not given to the Stage at all: its steps share a workspace.
    refused = {name for _, name, reason in reasons if reason}
    pulls = {name for name in spec.image_pull_secrets if name in nearest and not _event_refusal(nearest[name], event)}
    wanted = ({name for _, name in uses} | pulls) - refused
    return Chosen(
        values={name: nearest[name].value for name in sorted(wanted)},
        refusals=tuple((step, f"the secret {name!r} is not for {reason}") for step, name, reason in reasons if reason),
    )


def _wanted(step: StepSpec) -> set[str]:
    return {*step.secrets.values(), *(one.secret for pieces in step.composed.values() for one in pieces if one.secret)}


def _refusal(secret: Secret, event: Event, step: StepSpec) -> str:
    """Why a step must not have it; empty where it may."""
    reason = _event_refusal(secret, event)
    if reason or not secret.images:
        return reason
    if step.commands or step.entrypoint or step.arguments or step.volumes or not _STEERING.isdisjoint(step.environment):
        return "steps that say what their image does, only for plugins"
    if not any(_is_image(step.image, allowed) for allowed in secret.images):
        return f"the image {step.image}"
    return ""


def _event_refusal(secret: Secret, event: Event) -> str:
    if event.fork:
        return "pull requests from forks"
    if event.kind not in secret.events:
        return f"the event {event.kind}"
    if secret.branches and not any(Glob(pattern).matches(event.branch) for pattern in secret.branches):
        return f"the branch {event.branch}" if event.branch else "what is on no branch"
    return ""


def _is_image(image: str, allowed: str) -> bool:
    """Whether an image is the allowed one; a name without a tag allows all tags and digests of it."""
    wanted, given = _split(allowed), _split(image)
    return wanted[0] == given[0] and (not wanted[1] or wanted[1] == given[1])


def _split(image: str) -> tuple[str, str]:
    """Its full name, and its tag or digest. As docker reads names: the host is told by a dot, a colon or localhost."""
    name, at, version = image.partition("@")
    if not at:
        head, colon, tail = name.rpartition(":")
        if colon and "/" not in tail:
            name, version = head, tail
    first, slash, _ = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        name = f"docker.io/{name}" if slash else f"docker.io/library/{name}"
    return name, version
