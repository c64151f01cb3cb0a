"""Builds with their Stages and steps, as they are read from the tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ci.store.states import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci.pipeline.event import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A container of a Stage. `exit_code` is None until it has ended by itself."""

    number: int
    name: str
    kind: str = "step"  # or clone, service
    state: State = State.PENDING
    exit_code: int | None = None
    error: str = ""
    started: float = 0.0
    finished: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One pipeline document for one cell of its matrix. `depends_on` are numbers of Stages of the same build."""

    id: int = 0
    build_id: int = 0
    number: int
    name: str
    matrix: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    depends_on: tuple[int, ...] = ()
    spec: Mapping[str, Any] = field(default_factory=dict)  # compiled, as JSON values
    state: State = State.PENDING
    runner: str = ""
    attempt: int = 0
    losses: int = 0  # runners that were lost with it
    concurrency: int = 0  # how many of its name run at once in the repository; 0: any number
    runs_on: str = "success"  # of the Stages before it; failure, always
    expands: bool = False  # its cells are still to be made of outputs
    outputs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # of its steps, by name
    error: str = ""
    ready: float = 0.0  # since when it waits for no other Stage
    released: float = 0.0  # since when a runner may have it
    cancelled: float = 0.0  # since when its runner is to end it
    queued: float = 0.0
    started: float = 0.0
    finished: float = 0.0
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What was made for one event. `error` and `diagnostics` tell why there is nothing to run."""

    id: int
    repository_id: int
    number: int
    state: State
    event: Event
    parent: int = 0
    priority: int = 0
    error: str = ""
    diagnostics: tuple[Mapping[str, Any], ...] = ()
    decided_by: str = ""
    approved_by: str = ""
    created: float = 0.0
    started: float = 0.0
    finished: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a list shows of a build: all of it is in columns, so that no document is read for it."""

    id: int
    repository_id: int
    number: int
    state: State
    kind: str
    branch: str
    ref: str
    commit: str
    title: str
    author: str
    pull_request: int
    created: float
    started: float
    finished: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What a list shows: builds that have all that is not empty. `before` is the number that the page ends before."""

    branch: str = ""
    kind: str = ""
    state: str = ""
    author: str = ""
    before: int = 0
    limit: int = 50
