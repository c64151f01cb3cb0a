"""Runners say that they are there, what they have, and are told what to end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flask import jsonify

from ci.store import runners, stages
from web.rpc.calling import blueprint, caller, message
from web.services import current

if TYPE_CHECKING:
    from flask import Response

HEARTBEAT = 10  # seconds between two of a runner
LOST_AFTER = 90  # seconds of silence after which its Stages are given to others


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """A runner has started. `resumed` are the Stages that it still has; None where it does not know."""

    labels: Mapping[str, str] = field(default_factory=dict)
    jobs: int = 1
    version: str = ""
    platform: str = ""
    cpus: float = 0.0
    memory: int = 0  # bytes
    resumed: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """A runner lives. Memory and disk in bytes."""

    stages: tuple[int, ...] = ()
    free_memory: int = 0
    load: float = 0.0
    disk_free: int = 0


@blueprint.post("/hello")
def hello() -> Response:
    """What it thinks to have and does not list was lost with its former process."""
    said, runner, services = message(Hello), caller(), current()
    facts = {name: getattr(said, name) for name in ("jobs", "version", "platform", "cpus", "memory")}
    with services.database.write() as connection:
        now = services.clock()
        runners.update(connection, runner.id, labels=dict(said.labels), facts=facts, seen=now)
        mine = stages.of_runner(connection, runner.name)
    if said.resumed is not None:
        for stage in mine:
            if stage.id not in said.resumed:
                services.dispatcher.give_up(stage, f"the runner {runner.name} was restarted")
    return jsonify(runner=runner.name, heartbeat=HEARTBEAT, lost_after=LOST_AFTER)


@blueprint.post("/heartbeat")
def heartbeat() -> Response:
    """`cancel`: Stages that it is to end. `gone`: those that are not its any more."""
    said, runner, services = message(Heartbeat), caller(), current()
    load = {name: getattr(said, name) for name in ("free_memory", "load", "disk_free")}
    with services.database.write() as connection:
        runners.update(connection, runner.id, load=load, seen=services.clock())
        mine = stages.of_runner(connection, runner.name)
    known = {stage.id for stage in mine}
    return jsonify(
        cancel=[stage.id for stage in mine if stage.cancelled],
        gone=[identifier for identifier in said.stages if identifier not in known],
    )
