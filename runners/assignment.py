"""What the server says of a Stage that a runner has accepted, as a record."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from ci.errors import CiError
from ci.pipeline import netrc
from ci.pipeline.event import Event, EventKind
from ci.pipeline.spec import StageSpec, StepSpec
from ci.pipeline.wire import from_document, to_document
from runners.host import Login

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LONGEST = 24 * 3600.0  # seconds, where the server names no limit
_LOG_LIMIT = 4 << 30  # bytes


def learn() -> None:
    """Have the functions made that read these records (cattrs makes them when it meets one, in 20 ms)."""
    for record in (StageSpec(name="", number=0, steps=(StepSpec(name="", image=""),)), Event(kind=EventKind.PUSH)):
        from_document(type(record), to_document(record))


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A Stage and all it needs. `numbers` are those of its steps on the server, `clone` the name of the step that
    stands for what comes before the others, or empty. `refusals` say which steps do not get which secrets.
    """

    id: int
    attempt: int
    spec: StageSpec
    numbers: Mapping[str, int]
    clone: str
    repository: str
    trusted: bool
    event: Event
    url: str
    header: str = ""
    secrets: Mapping[str, str] = field(default_factory=dict)
    refusals: tuple[tuple[str, str], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    logins: tuple[Login, ...] = ()
    timeout: float = _LONGEST
    log_limit: int = _LOG_LIMIT
    outputs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    artifacts: tuple[int, ...] = ()

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """The record of the server's JSON. Raises CiError for what is none."""
        try:
            stage = document["stage"]
            timeout = float(document.get("timeout") or _LONGEST)
            spec = from_document(StageSpec, stage["spec"])
            given = cls(
                id=int(stage["id"]),
                attempt=int(stage["attempt"]),
                spec=replace(spec, timeout=min(timeout, spec.timeout or timeout)),
                numbers={str(step["name"]): int(step["number"]) for step in reversed(stage["steps"])},
                clone=_clone(stage["steps"], spec),
                repository=str(document["repository"]["id"]),
                trusted=document["repository"].get("trusted") is True,
                event=from_document(Event, document["event"]),
                url=str(document["remote"]["url"]),
                header=str(document["remote"].get("header", "")),
                secrets={str(name): str(value) for name, value in document.get("secrets", {}).items()},
                refusals=tuple((str(one["step"]), str(one["reason"])) for one in document.get("refusals", ())),
                environment={str(name): str(value) for name, value in document.get("environment", {}).items()},
                logins=tuple(
                    Login(host=one["host"], username=one["username"], password=one["password"])
                    for one in document.get("registries", ())
                ),
                timeout=timeout,
                log_limit=int(document.get("log_limit") or _LOG_LIMIT),
                outputs=document.get("outputs", {}),
                artifacts=tuple(int(one) for one in document.get("artifacts", ())),
            )
            return replace(given, **_login(given))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CiError(f"this is no Assignment: {error!r}", reference="bad-document") from None


def _login(given: Assignment) -> dict[str, Any]:
    """The fields with the runner's login at the git server, for the Stage's steps that clone.

    Only for trusted repositories, and not for strangers' builds: a pipeline could send it anywhere.
    """
    machine = urlsplit(given.url).hostname
    _, _, encoded = given.header.partition("Authorization: Basic ")
    if not given.spec.clone.steps or not given.trusted or given.event.fork or not machine or not encoded:
        return {}
    user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    return {
        "spec": netrc.with_login_to_clone(given.spec, machine, user),
        "secrets": {**given.secrets, netrc.PASSWORD: password},
    }


def _clone(steps: Iterable[Mapping[str, Any]], spec: StageSpec) -> str:
    """The step of the server's that the runner itself is."""
    return next((str(step["name"]) for step in steps if step["kind"] == "clone"), "") if spec.clone.by_runner else ""
