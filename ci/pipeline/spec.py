"""What a pipeline file compiles to: Stages of Steps, complete and ready for a runner.

`ci.pipeline.compile` makes these; runners take them as they are, without the file, the matrix or the event.
Everything is a plain value, so that a StageSpec can be stored, sent and compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ci.pipeline.failure import OnFailure
from ci.pipeline.outputs import Reference

__all__ = ["Build", "Cache", "Clone", "Device", "Health", "OnFailure", "StageSpec", "StepSpec", "Tmpfs", "VolumeMount"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeMount:
    """`name` of a Stage's volume, or an absolute host path in `host` (trusted only), at `target` in the step."""

    name: str = ""
    host: str = ""
    target: str
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device node of the host, and where the container has it; both absolute."""

    source: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tmpfs:
    """A file system in memory at `target`; `options` are those of tmpfs(5) after the path of docker's `--tmpfs`."""

    target: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Clone:
    """How the project gets into the workspace, where it is cloned: by the runner, or by `steps`.

    Those are names of the Stage's first steps, all others wait for them; they have images of their own that clone.
    """

    disable: bool = False
    depth: int = 0  # commits of history; 0: all
    submodules: bool = True  # and theirs
    lfs: bool = True
    tags: bool = True
    partial: bool = False  # contents of files only where they are checked out
    retries: int = 5  # how often it is tried again where the server does not answer
    backoff: float = 5.0  # seconds between
    skip_verify: bool = False  # whoever has the name is believed to be the server
    submodule_urls: tuple[tuple[str, str], ...] = ()  # by their names, in place of those in .gitmodules
    steps: tuple[str, ...] = ()

    @property
    def by_runner(self) -> bool:
        """Whether who runs the Stage fetches the project; else its workspace is empty when the steps begin."""
        return not self.disable and not self.steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """An image of a Dockerfile: `context` and `dockerfile` are paths in the workspace, `tags` names in the Stage."""

    context: str = "."
    dockerfile: str = "Dockerfile"
    target: str = ""
    args: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """Paths, of the workspace or absolute, that are brought back before a step and kept after it.

    `key` and `fallback` are templates (`cachekey`); the latter are beginnings of keys of which the newest is taken
    where there is nothing under `key`.
    """

    paths: tuple[str, ...]
    key: str
    fallback: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """A command that runs in a service until it succeeds: words, or one text for the image's shell. In seconds."""

    command: tuple[str, ...]
    shell: bool = False
    interval: float = 0.5
    timeout: float = 10.0


class Piece(NamedTuple):
    """A part of a value that is put together where the step runs: `text` as it is, or a secret's value in JSON."""

    text: str = ""
    secret: str = ""  # its name


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSpec:
    """One container of a Stage: a step, or a service (detached, named in the network, ended with the Stage).

    `commands` empty: the image's own entrypoint and command run, or `entrypoint` instead of both, or `arguments`
    instead of the command; never commands and entrypoint. A `detach`ed step begins in its turn and is then as a
    service: nobody waits for it, and how it ends means nothing. `shell` is a path, or a name to be found in the
    container's PATH. `environment` is complete but for CI_MACHINE, which only a runner knows; where a variable is in
    `secrets` it is not in `environment`. `depends_on` names steps of the same Stage, already complete (serial pipelines
    are compiled to a chain), so a scheduler needs nothing else. `run_on_success`/`run_on_failure` are the two halves of
    `when.status`. `secrets` maps an environment variable to the secret's name, `composed`
    one to a value that has secrets inside of it.
    """

    name: str
    image: str
    commands: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    shell: str = "/bin/sh"
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, Reference] = field(default_factory=dict)  # variables by outputs of steps before this one
    composed: Mapping[str, tuple[Piece, ...]] = field(default_factory=dict)
    depends_on: tuple[str, ...] = ()
    run_on_success: bool = True
    run_on_failure: bool = False
    failure: OnFailure = OnFailure.FAIL
    timeout: float | None = None  # seconds, of one attempt
    retries: int = 0  # how often a failed step is run again
    artifacts: tuple[str, ...] = ()  # patterns of paths in the workspace
    reports: tuple[str, ...] = ()  # of tests: patterns of paths in the workspace
    caches: tuple[Cache, ...] = ()
    build: Build | None = None  # in place of a container: the image is what comes of it
    built_by: str = ""  # the step before this one that builds `image`
    working_dir: str = ""  # absolute; empty: the workspace
    user: str = ""
    privileged: bool = False
    volumes: tuple[VolumeMount, ...] = ()
    memory: int | None = None  # bytes
    cpus: float | None = None
    ports: tuple[int, ...] = ()  # services: waited for until they accept
    healthcheck: Health | None = None  # services: waited for until it passes
    wait: float = 60.0  # services: seconds that they have until then
    must_be_ready: bool = True  # services: else the steps begin without them when the wait is over
    detach: bool = False
    pull: str = ""  # always | if-not-exists | never; empty: as the runner likes
    network_mode: str = ""  # empty: the Stage's network; else host, none or bridge
    extra_hosts: tuple[tuple[str, str], ...] = ()  # (name, address)
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    devices: tuple[Device, ...] = ()
    tmpfs: tuple[Tmpfs, ...] = ()
    shm_size: int | None = None  # bytes
    memory_swap: int | None = None  # bytes, memory and swap together
    line: int = 0  # of the step in the pipeline file, from 1

    @property
    def secret_names(self) -> tuple[str, ...]:
        """The secrets that it is given, each once."""
        inner = (piece.secret for pieces in self.composed.values() for piece in pieces if piece.secret)
        return tuple(dict.fromkeys((*self.secrets.values(), *inner)))

    @property
    def secret_variables(self) -> tuple[str, ...]:
        """The variables that nobody may see the values of."""
        return (*self.secrets, *self.composed)

    @property
    def tells(self) -> bool:
        """Whether it can be seen when this service is ready; else it is as soon as it runs."""
        return bool(self.ports) or self.healthcheck is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSpec:
    """One pipeline document × one matrix cell. Steps are in file order; `skipped` are those whose `when` did not hold.

    `number` counts the Stages of a build from 1. All cells of a document have its `name`; `matrix` tells them apart.
    `depends_on` names documents: every Stage of that name. `run_on_success`/`run_on_failure` say when to run, by what
    became of those.
    """

    name: str
    number: int
    matrix: Mapping[str, str] = field(default_factory=dict)
    cells_from: tuple[
        Reference, ...
    ] = ()  # outputs of which the matrix is made: see `open_matrix`; not to be run itself
    steps: tuple[StepSpec, ...]
    services: tuple[StepSpec, ...] = ()
    skipped: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()  # temporary volumes shared by the Stage's steps
    workspace: str = "/hako/src"
    timeout: float | None = None  # seconds, the whole Stage
    depends_on: tuple[str, ...] = ()  # names of other Stages of the build
    run_on_success: bool = True
    run_on_failure: bool = False
    clone: Clone = Clone()
    concurrency: int | None = None  # Stages of this name that run at once, over all builds
    image_pull_secrets: tuple[str, ...] = ()  # secrets that hold registries' credentials
    labels: Mapping[str, str] = field(default_factory=dict)  # what a runner must have
