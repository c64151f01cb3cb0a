"""A request of a forge → what it tells: of which repository, which event, and whether something is to be built for it.

Called by the web, after `signatures`. Gitea and Forgejo send GitHub's headers as well as their own, so theirs are
looked at first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from ci.errors import CiError
from ci.forge import github, gitlab
from ci.forge.body import LIMIT, parse
from ci.forge.github import NotBuiltError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci.pipeline.event import Event

_WHERE = "the webhook's body"
# The kind of forge, and its headers for the event's name and for the delivery.
_FORGES = (
    ("forgejo", "x-forgejo-event", ("x-forgejo-delivery",)),
    ("gitea", "x-gitea-event", ("x-gitea-delivery",)),
    ("github", "x-github-event", ("x-github-delivery",)),
    ("gitlab", "x-gitlab-event", ("webhook-id", "idempotency-key", "x-gitlab-event-uuid")),
)
_LONGEST_NAME = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """`id` is the forge's, and the same when it is delivered again. `reason`: why there is no event."""

    forge: str  # its kind
    name: str  # of the event, in the forge's words
    id: str
    repository: str  # owner/name
    repository_id: str
    event: Event | None = None
    reason: str = ""


def read(headers: Mapping[str, str], body: bytes) -> Delivery:
    """Read a request, which is signed; `headers` have lower-case names.

    Raises CiError (bad-payload) for what is no webhook of a forge that we know.
    """
    forge, name, identifier = _identify(headers)
    payload = parse(_json(headers, body), _WHERE)
    event: Event | None = None
    reason = ""
    try:
        event = gitlab.read(payload) if forge == "gitlab" else github.read(name, payload, gitea=forge != "github")
    except NotBuiltError as error:
        reason = error.message
    known = ("project", "path_with_namespace") if forge == "gitlab" else ("repository", "full_name")
    return Delivery(
        forge=forge,
        name=name,
        id=identifier,
        repository=payload.text(*known),
        repository_id=str(payload.number(known[0], "id") or ""),
        event=event,
        reason=reason,
    )


def _identify(headers: Mapping[str, str]) -> tuple[str, str, str]:
    for forge, event, deliveries in _FORGES:
        if event in headers:
            identifier = next((headers[one] for one in deliveries if headers.get(one)), "")
            if not identifier or len(identifier) > _LONGEST_NAME or not identifier.isascii():
                raise CiError(f"the webhook has no usable {deliveries[0]} header", reference="bad-payload")
            return forge, headers[event][:_LONGEST_NAME], identifier
    raise CiError(
        "the request has no header that names an event",
        hint="webhooks of GitHub, Gitea, Forgejo and GitLab are understood",
        reference="bad-payload",
    )


def _json(headers: Mapping[str, str], body: bytes) -> bytes:
    """The JSON of a body in either of the content types that forges offer."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return body
    if kind == "application/x-www-form-urlencoded":
        if len(body) > LIMIT:
            raise CiError(f"{_WHERE}: larger than {LIMIT >> 20} MiB", reference="bad-payload")
        try:
            found = parse_qs(body.decode("ascii"), max_num_fields=8)
        except ValueError as error:
            raise CiError(f"{_WHERE}: no form: {error}", reference="bad-payload") from None
        if "payload" in found:
            return found["payload"][0].encode("utf-8", "replace")
    raise CiError(
        f"{_WHERE} is of the type {kind or 'unknown'}", hint="choose application/json", reference="bad-payload"
    )
