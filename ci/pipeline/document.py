"""A pipeline file as typed records: what every dialect is read into, and what lint and compile work on.

One Document is one Stage before its matrix is multiplied out. Nothing is decided here: conditions are not evaluated,
variables not substituted, and a duration or a size is still the text that was written, because `${…}` may stand in it.
Each value keeps its position. The small records, of which a file makes thousands, are named tuples (see `source`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ci.pipeline.rules import HAKO, Rules
from ci.pipeline.source import NOWHERE, Position, Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci.pipeline.nodes import Node
    from ci.pipeline.source import Source

DEFAULT_NAME = "default"
DEFAULT_SHELL = "/bin/sh"


class Variable(NamedTuple):
    """A name and a value: of an environment, a matrix cell, a label."""

    name: Text
    value: Text


class SecretUse(NamedTuple):
    """The environment variable `variable` gets the value of the secret `secret`."""

    variable: Text
    secret: Text


class Filter(NamedTuple):
    """Patterns of one fact. It holds when one of `include` matches (or there is none) and none of `exclude`."""

    include: tuple[Text, ...] = ()
    exclude: tuple[Text, ...] = ()
    ignore_message: Text | None = None  # of paths: a commit's message with this in it makes it hold
    on_empty: bool = True  # of paths: what it is where no file changed
    position: Position = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One map of a `when`:

    all of its filters must hold. `filters` are by fact (`branch`, …), `matrix` by the axis's name; `evaluate` is an
    expression (`expression`).
    """

    filters: Mapping[str, Filter]
    matrix: Mapping[str, Filter]
    evaluate: Text | None = None
    position: Position = NOWHERE


class Mount(NamedTuple):
    """A volume of the Stage (`name`) or a path of the host (`host`) at `target`; exactly one of the two is there."""

    target: Text
    name: Text | None = None
    host: Text | None = None
    read_only: bool = False
    position: Position = NOWHERE


class Axis(NamedTuple):
    """One variable of a matrix and the values it takes."""

    name: Text
    values: tuple[Text, ...]
    source: Text | None = None  # the output that holds the values, `stage/step.name`


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """The product of `axes`, less the cells that an `exclude` describes, and then those of `include`: see `matrix`."""

    axes: tuple[Axis, ...] = ()
    include: tuple[tuple[Variable, ...], ...] = ()
    exclude: tuple[tuple[Variable, ...], ...] = ()
    source: Text | None = None  # the output that holds further axes or cells
    position: Position = NOWHERE

    @property
    def sources(self) -> tuple[Text, ...]:
        """The outputs that must be known before the cells are."""
        found = (self.source, *(axis.source for axis in self.axes))
        return tuple(text for text in found if text is not None)


class Setting(NamedTuple):
    """An input of a plugin: the environment variable `variable` gets `value`, whatever that is (see `settings`)."""

    variable: Text
    value: Node


class DeviceUse(NamedTuple):
    """The host's device at `source` is at `target` in the container."""

    source: Text
    target: Text


class OutputUse(NamedTuple):
    """The environment variable `variable` gets the value of the output `output`, written `step.name`."""

    variable: Text
    output: Text


class BuildUse(NamedTuple):
    """An image that a step builds, of a Dockerfile in the workspace."""

    context: Text | None = None
    dockerfile: Text | None = None
    target: Text | None = None
    args: tuple[Variable, ...] = ()
    tags: tuple[Text, ...] = ()
    position: Position = NOWHERE


class CacheUse(NamedTuple):
    """Paths that are kept from run to run under a key; without it, under the step's name."""

    paths: tuple[Text, ...]
    key: Text | None = None
    fallback: tuple[Text, ...] = ()
    position: Position = NOWHERE


class HealthUse(NamedTuple):
    """The command that tells whether a service can be used: one text for the shell, or words."""

    command: tuple[Text, ...]
    shell: bool = True
    interval: Text | None = None
    timeout: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step or a service. `depends_on` None: the key is not there, which is not the same as an empty list."""

    name: Text
    image: Text | None = None
    commands: tuple[Text, ...] = ()
    entrypoint: tuple[Text, ...] = ()
    arguments: tuple[Text, ...] = ()
    shell: Text | None = None
    environment: tuple[Variable, ...] = ()
    secrets: tuple[SecretUse, ...] = ()
    outputs: tuple[OutputUse, ...] = ()
    when: tuple[Condition, ...] = ()  # one of them must hold; none: always
    depends_on: tuple[Text, ...] | None = None
    failure: Text | None = None  # fail, ignore, fast
    retries: Text | None = None
    timeout: Text | None = None
    artifacts: tuple[Text, ...] = ()
    reports: tuple[Text, ...] = ()
    caches: tuple[CacheUse, ...] = ()
    build: BuildUse | None = None
    working_dir: Text | None = None
    user: Text | None = None
    privileged: Text | None = None
    volumes: tuple[Mount, ...] = ()
    memory: Text | None = None
    cpus: Text | None = None
    ports: tuple[Text, ...] = ()
    healthcheck: HealthUse | None = None
    wait: Text | None = None
    settings: tuple[Setting, ...] = ()
    optional: tuple[Text, ...] = ()  # those of `depends_on` that need not be there
    detach: Text | None = None
    pull: Text | None = None  # always, if-not-exists, never
    network_mode: Text | None = None
    extra_hosts: tuple[Text, ...] = ()
    dns: tuple[Text, ...] = ()
    dns_search: tuple[Text, ...] = ()
    devices: tuple[DeviceUse, ...] = ()
    tmpfs: tuple[Text, ...] = ()
    shm_size: Text | None = None
    memory_swap: Text | None = None
    position: Position = NOWHERE


class Origin(NamedTuple):
    """Where a document was read from: `place` counts the documents of the file that could be read."""

    source: Source
    place: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneUse:
    """How the project is to be fetched: by `settings`, which are those of `cloning`, by their names there, or by
    `steps` with images of their own.
    """

    disable: Text | None = None
    settings: tuple[Variable, ...] = ()
    steps: tuple[Step, ...] = ()
    position: Position = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One Stage of a file.

    `image` is that of the steps that name none (not of services); `volumes` are the Stage's own, empty at its start.
    """

    name: Text | None = None
    steps: tuple[Step, ...] = ()
    services: tuple[Step, ...] = ()
    image: Text | None = None
    environment: tuple[Variable, ...] = ()
    secrets: tuple[SecretUse, ...] = ()
    when: tuple[Condition, ...] = ()
    depends_on: tuple[Text, ...] = ()
    matrix: Matrix | None = None
    timeout: Text | None = None
    volumes: tuple[Text, ...] = ()
    workspace: Text | None = None
    workspace_path: Text | None = None  # below `workspace`
    labels: tuple[Variable, ...] = ()
    runs_on: tuple[Text, ...] = ()  # what those it depends on may have become
    clone: CloneUse = CloneUse()
    concurrency: Text | None = None
    image_pull_secrets: tuple[Text, ...] = ()
    rules: Rules = HAKO
    origin: Origin | None = field(default=None, compare=False, repr=False)  # where there is a "$" in the whole file
    position: Position = NOWHERE

    @property
    def title(self) -> str:
        """The Stage's name; `default` where the file gives none."""
        return self.name.value if self.name else DEFAULT_NAME

    @property
    def is_graph(self) -> bool:
        """Whether one step, at least, says what it depends on; if none does, each step waits for the one before it."""
        return any(step.depends_on is not None for step in self.steps)

    def dependencies(self) -> dict[str, tuple[str, ...]]:
        """What each step waits for: what it names, or, where none names any, the step before it."""
        if self.is_graph:
            return {step.name.value: tuple(text.value for text in step.depends_on or ()) for step in self.steps}
        names = [step.name.value for step in self.steps]
        return {name: tuple(names[max(index - 1, 0) : index]) for index, name in enumerate(names)}
