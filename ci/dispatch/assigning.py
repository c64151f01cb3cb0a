"""What a runner is told of a Stage that it has accepted: all it needs, and no secret that the Stage may not have.

The shape is that of the RPC's Assignment. Called by the web's RPC.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from ci.errors import CiError
from ci.logs.store import LIMIT
from ci.pipeline.spec import StageSpec
from ci.pipeline.wire import from_document, to_document
from ci.secrets.choosing import choose
from ci.store import artifacts, builds, repositories, secrets, stages
from ci.store.states import State
from ci.trigger import rules
from ci.trigger.remotes import remote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import sqlalchemy as sql

    from ci.secrets.keyring import Keyring
    from ci.store.records import Stage


class Refused(NamedTuple):
    """Why a runner does not get a Stage: `taken`, `over`, `not-ready` or `unfit`."""

    reference: str
    message: str


def accept(
    connection: sql.Connection, stage_id: int, runner: str, labels: Mapping[str, str], now: float
) -> Stage | Refused:
    """Give a Stage to a runner with these labels, or say why not. Again is as once."""
    stage = stages.get(connection, stage_id)
    unfit = sorted(key for key, value in stage.labels.items() if labels.get(key) not in (value, "*"))
    if unfit:
        return Refused("unfit", f"Stage {stage_id} wants other labels: {', '.join(unfit)}")
    accepted = stages.accept(connection, stage_id, runner, now)
    stage = stages.get(connection, stage_id)
    if accepted or (stage.state is State.RUNNING and stage.runner == runner):
        return stage
    if stage.state is State.RUNNING:
        return Refused("taken", f"Stage {stage_id} is another runner's")
    if stage.state.over:
        return Refused("over", f"Stage {stage_id} is {stage.state}")
    return Refused("not-ready", f"Stage {stage_id} is {stage.state}")


def assignment(connection: sql.Connection, keyring: Keyring, stage: Stage) -> dict[str, Any]:
    """Everything about an accepted Stage, as JSON values. Raises CiError for a document that cannot be read."""
    build = builds.get(connection, stage.build_id)
    repository = repositories.get(connection, build.repository_id)
    spec = from_document(StageSpec, stage.spec)
    chosen = choose(secrets.visible(connection, keyring, repository), build.event, spec)
    source = remote(repository, keyring, build.event.remote_url)
    limit = rules.settings(repository.settings).timeout
    before = [one for one in stages.of_build(connection, build.id) if one.number in stage.depends_on]
    return {
        "stage": {
            "id": stage.id,
            "number": stage.number,
            "attempt": stage.attempt,
            "name": stage.name,
            "spec": dict(stage.spec),
            "steps": [{"number": step.number, "name": step.name, "kind": step.kind} for step in stage.steps],
        },
        "build": {"id": build.id, "number": build.number},
        "repository": {"id": repository.id, "name": repository.name, "trusted": build.event.trusted},
        "event": to_document(build.event),
        "remote": {"url": source.url, "header": source.header},
        "secrets": dict(chosen.values),
        "refusals": [{"step": step, "reason": reason} for step, reason in chosen.refusals],
        "environment": {},
        "registries": _registries(chosen.values[name] for name in spec.image_pull_secrets if name in chosen.values),
        "timeout": min(limit, spec.timeout) if spec.timeout else limit,
        "log_limit": LIMIT,
        "outputs": {
            f"{one.name}/{step}": dict(values)
            for one in stages.of_build(connection, build.id)
            for step, values in one.outputs.items()
        },
        "artifacts": [one.id for one in before if artifacts.listed(connection, one.id, one.attempt)],
    }


def _registries(configurations: Iterable[str]) -> list[dict[str, str]]:
    """Log-ins of docker's `config.json`, as drone's and Woodpecker's secrets for pulling hold them."""
    found = []
    for text in configurations:
        try:
            for host, login in json.loads(text)["auths"].items():
                username, password = login.get("username", ""), login.get("password", "")
                if login.get("auth"):
                    username, _, password = base64.b64decode(login["auth"]).decode().partition(":")
                found.append({"host": host, "username": username, "password": password})
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
            raise CiError("a secret of image_pull_secrets is no docker configuration", reference="bad-secret") from None
    return found
