"""The event that `ci-run local` plays: what git says of the project, or a saved webhook, and the options over it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ci.errors import CiError
from ci.pipeline.event import NULL_COMMIT, EventKind

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ci.pipeline.event import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What an event has of the machine and the moment: `created` in seconds since 1970."""

    user: str
    created: int
    platform: str


def configure(parser: ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument_group("the event to play").add_argument
    kinds = [kind.value for kind in EventKind]
    add("--event", choices=kinds, metavar="EVENT", help=f"{', '.join(kinds)} (default: push)")
    add("--branch", metavar="NAME", help="the branch pushed to, or that a pull request goes to (default: git's)")
    add("--tag", metavar="NAME", help="the tag; the event is then a tag, unless it is a release")
    add("--target", metavar="NAME", help="what is deployed to; the event is then a deployment, unless it is a rollback")
    add("--cron", metavar="NAME", help="the schedule; the event is then cron")
    add("--pr", type=int, metavar="NUMBER", help="the pull request; the event is then pull_request")
    add(
        "--payload",
        metavar="FILE",
        help="a saved webhook of GitHub, Gitea or GitLab (push, tag, pull request, release, deployment)",
    )


def play(arguments: Namespace, project: Path, around: Surroundings) -> Event:
    """The event. Raises CiError, OSError."""
    if arguments.pr is not None and arguments.pr < 1:
        raise CiError(f"--pr: {arguments.pr} is not a number from 1 on", reference="usage")
    kind = _kind(arguments)
    if arguments.payload is not None:
        event = _from_payload(arguments.payload, project, around)
        if arguments.event is not None and event.kind is not kind:
            raise CiError(f"{arguments.payload} is of the event {event.kind}, not {kind}", reference="usage")
    else:
        event = _from_git(kind, arguments.tag or "", project, around)
    if arguments.branch is not None:
        event = replace(event, branch=arguments.branch, ref="" if event.kind is EventKind.PUSH else event.ref)
    if arguments.tag is not None:
        event = replace(event, tag=arguments.tag, ref="")
    if arguments.pr is not None:
        event = replace(event, pull_request=arguments.pr, ref="")
    return replace(event, deploy_target=arguments.target or event.deploy_target, cron=arguments.cron or event.cron)


# The options that are of one event: what it is with such an option alone, and what else it may be.
_OF_EVENTS = {
    "tag": (EventKind.TAG, EventKind.RELEASE),
    "pr": (EventKind.PULL_REQUEST,),
    "target": (EventKind.DEPLOYMENT, EventKind.ROLLBACK),
    "cron": (EventKind.CRON,),
}


def _kind(arguments: Namespace) -> EventKind:
    """What the options say together."""
    given = [name for name in _OF_EVENTS if getattr(arguments, name) is not None]
    if len(given) > 1:
        raise CiError(f"--{given[0]} and --{given[1]} are of different events", reference="usage")
    implied = _OF_EVENTS[given[0]][0] if given else EventKind.PUSH
    kind = EventKind(arguments.event) if arguments.event is not None else implied
    if given and kind not in _OF_EVENTS[given[0]]:
        raise CiError(f"--{given[0]} does not go with the event {kind}", reference="usage")
    return kind


def _from_git(kind: EventKind, tag: str, project: Path, around: Surroundings) -> Event:
    from ci.git import event  # noqa: PLC0415  (a payload needs none of it, and a bad file neither)

    return event(project, kind=kind, tag=tag, user=around.user, created=around.created, platform=around.platform)


def _from_payload(filename: str, project: Path, around: Surroundings) -> Event:
    from ci.forge.body import LIMIT  # noqa: PLC0415
    from ci.forge.payload import read  # noqa: PLC0415

    with Path(filename).open("rb") as file:
        event = read(file.read(LIMIT + 1), filename)
    event = replace(event, created=around.created, platform=around.platform)
    if event.commit == NULL_COMMIT:  # a release names its tag only: what is built here is what is checked out here
        event = replace(event, commit=_from_git(EventKind.PUSH, "", project, around).commit)
    return event
