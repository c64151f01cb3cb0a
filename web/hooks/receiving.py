"""The endpoints: who signs with a repository's secret may tell of that repository, and of no other.

The order matters. The raw bytes are checked before anything of them is read; that it is the right repository before
anything is written; and that the delivery is new by writing it. Then a job is queued, and the answer given: forges wait
ten seconds at most. A job that is lost is queued again by the beat. docs/server.md says how hooks are set up.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from flask import Blueprint, jsonify, request
from redis.exceptions import RedisError

from ci.errors import CiError
from ci.forge import delivery, plain, signatures
from ci.forge.body import LIMIT
from ci.forge.signatures import UnsignedError
from ci.store import deliveries, forgekeys, repositories
from web.refusals import ForbiddenError
from web.services import current

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flask import Response

    from ci.forge.delivery import Delivery
    from ci.store.repositories import Repository

log = logging.getLogger("hako.hooks")
blueprint = Blueprint("hooks", __name__, url_prefix="/hooks")
_PINGS = ("ping",)  # an event that only says that the hook is set up


@blueprint.post("/<int:repository_id>")
def forge(repository_id: int) -> tuple[Response, int]:
    """A webhook of GitHub, Gitea, Forgejo or GitLab."""
    return _receive(repository_id, delivery.read)


@blueprint.post("/git/<int:repository_id>")
def git(repository_id: int) -> tuple[Response, int]:
    """What `ci-run push` and the post-receive hook of a plain git server send."""
    return _receive(repository_id, plain.read)


def _receive(repository_id: int, read: Callable[[Mapping[str, str], bytes], Delivery]) -> tuple[Response, int]:
    services = current()
    request.max_content_length = LIMIT
    body = request.get_data(cache=False)
    headers = {name.lower(): value for name, value in request.headers.items()}
    repository, secrets = _known(repository_id)
    signatures.check(headers, body, secrets, services.clock())
    found = read(headers, body)
    if found.name in _PINGS:
        return jsonify(outcome="pong"), 200
    if not _is_of(found, repository):
        log.warning("a hook of repository %d tells of %s", repository_id, found.repository)
        raise ForbiddenError(
            f"the hook of {repository.name} tells of {found.repository or 'no repository'}",
            hint="each repository has a hook and a secret of its own",
            reference="other-repository",
        )
    with services.database.write() as connection:
        taken = deliveries.take(connection, repository.id, found.id, services.clock(), found.event, found.reason)
    if taken is None:
        return jsonify(outcome="this delivery was taken before"), 200
    if found.event is None:
        return jsonify(outcome=found.reason), 200
    try:
        services.events.put("handle_delivery", taken)
    except RedisError as error:  # the beat queues it when Redis is back
        log.warning("delivery %d is not queued: %s", taken, error)
    return jsonify(outcome="queued", delivery=taken), 202


def _known(repository_id: int) -> tuple[Repository, tuple[str, ...]]:
    """Strangers are not told which repositories there are: one that is not here is as one that was signed wrongly."""
    services = current()
    try:
        with services.database.read() as connection:
            repository = repositories.get(connection, repository_id)
    except CiError:
        raise UnsignedError("the request is not signed by who may", hint="is it the right URL?") from None
    return repository, forgekeys.hook_secrets(services.keyring, repository)


def _is_of(found: Delivery, repository: Repository) -> bool:
    """By the forge's own id, which stays when a repository is renamed; a plain git server has names only."""
    if found.repository_id:
        return found.repository_id == repository.forge_id
    return found.forge == "git" and found.repository == repository.name
