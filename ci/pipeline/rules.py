"""Where the meaning of the dialects differs, as values: what lint and compile ask a Document for.

Which keys a dialect has, and their shapes, is its front end's own matter (`dialects`); this is what the same keys mean.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from ci.pipeline import conditions, drone_variables, variables
from ci.pipeline.event import EventKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci.pipeline.conditions import Values


class Rules(NamedTuple):
    """What a dialect means.

    `whole_file`: `${…}` is replaced in all of the file and with operators, and is nothing where it has no value; else
    in values only, and a name that cannot have a value is a mistake. `lenient`: what the dialect's own system passes
    over is a warning and not an error. `base` and `path` are the two parts of the workspace; `{host}` and
    `{repository}` in them are the event's.
    """

    dialect: str
    base: str
    path: str = ""
    ci: str = variables.SYSTEM_NAME  # what $CI says
    system: str = variables.SYSTEM_NAME
    values: Values = conditions.VALUES  # the facts of conditions
    event_names: Mapping[EventKind, str] = MappingProxyType({})
    whole_file: bool = True
    lenient: bool = True
    drone_environment: bool = False  # DRONE_* is for all steps, and not for plugins only
    inner_secrets: bool = True  # `from_secret` means a secret inside of a setting's lists and maps, too
    drone_copies: bool = False  # DRONE_* are copies of CI_*
    plugins_are_plain: bool = False  # a step with an entrypoint or an environment is no plugin
    others_by_file: bool = False  # depends_on of a document names files
    clone: Mapping[str, bool] = MappingProxyType({})  # how the project is fetched without a word of the file
    clones_one_commit: bool = False  # see `cloning`
    must_be_ready: bool = True  # a service whose ports do not open fails the Stage

    @property
    def events(self) -> tuple[str, ...]:
        """What `when.event` may say."""
        return tuple(dict.fromkeys(self.event_names.get(kind, kind.value) for kind in EventKind))

    @property
    def variables(self) -> frozenset[str]:
        """The names that have a value by themselves."""
        return variables.NAMES | drone_variables.NAMES if self.drone_environment else variables.NAMES


HAKO = Rules(dialect="Hako", base="/hako/src", whole_file=False, lenient=False)
DRONE = Rules(
    dialect="drone",
    base="/drone/src",
    ci="true",
    system="drone",
    # All are compared, whatever the event is; a tag's branch is the tag.
    values=MappingProxyType(
        {
            "event": lambda event: (drone_variables.EVENT_NAMES.get(event.kind, event.kind.value),),
            "branch": lambda event: (event.tag if event.kind.of_tag else event.branch,),
            "cron": lambda event: (event.cron,),
            **{fact: conditions.VALUES[fact] for fact in ("ref", "repo", "instance", "target", "action")},
        }
    ),
    event_names=drone_variables.EVENT_NAMES,
    drone_environment=True,
    inner_secrets=False,
    clone=MappingProxyType({"submodules": False, "tags": False}),
)
_WOODPECKER_EVENTS = MappingProxyType({EventKind.ROLLBACK: "deployment"})
WOODPECKER = Rules(
    dialect="Woodpecker",
    base="/woodpecker",
    path="src/{host}/{repository}",
    ci="woodpecker",
    system="woodpecker",
    values=MappingProxyType(
        {
            **conditions.VALUES,
            "event": lambda event: (_WOODPECKER_EVENTS.get(event.kind, event.kind.value),),
            "local": lambda event: ("true", "false") if event.instance else ("true",),
        }
    ),
    event_names=_WOODPECKER_EVENTS,
    drone_copies=True,
    plugins_are_plain=True,
    others_by_file=True,
    clones_one_commit=True,
    must_be_ready=False,  # Woodpecker itself waits for no port
)
