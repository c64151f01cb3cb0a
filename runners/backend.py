"""The seam between the runner and whatever makes containers.

`runners.stage` drives a `Backend`; `runners.engine` is the one on our own engine, and others (a Docker daemon)
implement the same contract. The contract is written for an event loop on one thread: nothing here waits for a
container. What a container says and that it has ended arrive as readable descriptors, whatever means the back end has
to make them so.

Order: `prepare` → any number of `start` → `finish`, for each Stage; several Stages may be between `prepare` and
`finish` at the same time. All calls come from one thread. Failures are `BackendError`; a container that runs and
fails is no error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping
    from pathlib import Path

    from ci.pipeline.spec import StageSpec, StepSpec


class BackendError(Exception):
    """The back end could not do what was asked; `message` is lower case and names the thing, `hint` says what to do."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


@dataclass(frozen=True, slots=True, kw_only=True)
class HostMount:
    """A folder or file of the host, `source`, that every container of a Stage sees at `target`."""

    source: str
    target: str
    read_only: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One step or service, ready to start.

    `environment` is complete (secrets included) and replaces `step.environment` and `step.secrets`. `script` is the
    text that the step's shell runs, or empty where the image's own entrypoint and command run. `mounts` are its own,
    beside those of the Stage.
    """

    step: StepSpec
    environment: Mapping[str, str] = field(default_factory=dict)
    script: str = ""
    service: bool = False
    mounts: tuple[HostMount, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a container ended: `code` as a shell shows it (128+n for signal n), `oom` when memory ran out, `error` of the
    back end.
    """

    code: int
    oom: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether a container's healthcheck has passed, and what it printed the last time."""

    passed: bool = False
    output: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is kept of a container that has ended: its files as an image, and the network that it was in."""

    image: str
    network: str = ""


class Handle(Protocol):
    """One started container. Its descriptors belong to the handle: `output` is valid until `close`, `ended` until
    `result`.
    """

    @property
    def output(self) -> int:
        """Readable: standard output and error, in the order written; end of file when all writers are gone."""

    @property
    def ended(self) -> int:
        """Becomes readable once, when the container has ended, and stays so. Nothing is to be read from it."""

    @property
    def published(self) -> Mapping[int, str]:
        """Where people on this host reach the container's ports: `address:port` by port."""

    @property
    def address(self) -> str:
        """An IP address at which a `tcp_socket` reaches the container's ports, or empty where there is none."""

    def tcp_socket(self, family: int) -> socket.socket:
        """A new non-blocking TCP socket, from where `address` is reached. Raises OSError."""

    def health(self) -> Health:
        """How the healthcheck of a container that has one stands. Any time before `close`, never fails."""

    def result(self) -> Ended:
        """How it ended; once `ended` is readable, which must not be watched any more. Any number of times."""

    def terminate(self) -> None:
        """Ask the container to end in its own way, or kill it where its process does not listen. Idempotent, never
        fails.
        """

    def kill(self) -> None:
        """End all of its processes now, however they were started. Idempotent, never fails, does not wait."""

    def written(self) -> bytes:
        """What it wrote to $CI_OUTPUT (`ci.pipeline.outputs`), a byte more than allowed at most; once it has ended,
        before `close`. Never fails.
        """

    def keep(self) -> Kept:
        """Make an image of what the container left; once it has ended, before `close`. Raises `BackendError`."""

    def close(self) -> None:
        """Give the descriptors and the container back; one that still runs is killed first. Idempotent, never fails."""


class Prepared(Protocol):
    """A Stage that has its network, volumes and workspace, so that containers can start in it."""

    def start(self, container: Container) -> Handle:
        """Start one container, in the Stage's network under the step's name. May take tens of milliseconds, not more.

        Raises `BackendError` when it cannot be started; nothing of it is left then.
        """

    def image_id(self, step: StepSpec) -> str:
        """What tells the image that the step would run in from all others; empty where there is none, or none yet."""

    def finish(self) -> None:
        """Remove everything that `prepare` and `start` made, the workspace's folder excepted. Idempotent.

        Handles that are still open are closed. What cannot be removed now is left for `Backend.reclaim`; never fails.
        """


class Backend(Protocol):
    """Makes the containers of Stages."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What this host lacks and what follows from it, one sentence each."""

    def reclaim(self) -> None:
        """Remove what runs that died left behind. Never touches a live run, of this process or another's."""

    def missing_images(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Those of `names` that are not on this host yet, in the given order."""

    def fetch_image(self, name: str) -> None:
        """Bring a missing image here; may take minutes. Raises `BackendError` when no source has it."""

    def prepare(self, stage: StageSpec, *, workspace: Path, mounts: tuple[HostMount, ...] = ()) -> Prepared:
        """Make the Stage's network and volumes.

        `workspace` is a folder of the host, writable, which containers see at `stage.workspace`; it is the caller's.
        `mounts` are seen by every container besides. Raises `BackendError`; nothing is left then.
        """
