"""What the API answers with: the store's records as they are shown, and nothing that is not to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ci.access.roles import Role
from ci.pipeline.event import EventKind
from ci.store.states import State

if TYPE_CHECKING:
    from ci.secrets.choosing import Secret as StoredSecret
    from ci.store import records, tokens, users
    from ci.store import repositories as stored


class Shape(msgspec.Struct, kw_only=True):
    """Of an answer. Times are seconds since 1970, 0 for not yet."""


class Repository(Shape):
    """A repository that is built."""

    name: str
    forge: str
    forge_url: str
    forge_id: str
    clone_url: str
    default_branch: str
    private: bool
    trusted: bool
    active: bool
    settings: dict[str, Any]
    role: Role  # of who asks


class Hook(Shape):
    """Where a forge sends its webhooks, and what it signs them with."""

    url: str
    secret: str


class Summary(Shape):
    """A build in a list."""

    number: int
    state: State
    event: EventKind
    branch: str
    ref: str
    commit: str
    title: str
    author: str
    pull_request: int
    created: float
    started: float
    finished: float


class Step(Shape):
    """A container of a Stage."""

    number: int
    name: str
    kind: str
    state: State
    exit_code: int | None
    error: str
    started: float
    finished: float


class Stage(Shape):
    """One pipeline document for one cell of its matrix."""

    number: int
    name: str
    matrix: dict[str, str]
    labels: dict[str, str]
    depends_on: list[int]
    state: State
    runner: str
    attempt: int
    error: str
    queued: float
    started: float
    finished: float
    steps: list[Step]


class Diagnostic(Shape):
    """A mistake in the configuration; lines and columns from 1."""

    code: str = ""
    severity: str = ""
    message: str = ""
    hint: str = ""
    file: str = ""
    line: int = 0
    column: int = 0


class Build(Summary):
    """A build with its Stages."""

    message: str
    link: str
    parent: int
    priority: int
    error: str
    decided_by: str
    diagnostics: list[Diagnostic]
    stages: list[Stage]


class Secret(Shape):
    """A secret without its value, which nobody reads back."""

    name: str
    events: list[EventKind]
    branches: list[str]
    images: list[str]


class User(Shape):
    """An account."""

    login: str
    forge_url: str
    email: str
    admin: bool


class Token(Shape):
    """An API token without its text."""

    id: int
    name: str
    beginning: str
    role: Role
    created: float
    used: float
    expires: float


def repository(found: stored.Repository, role: Role) -> Repository:
    """As who has this role sees it."""
    known = {name: getattr(found, name) for name in Repository.__struct_fields__ if name not in ("role", "settings")}
    return Repository(**known, role=role, settings=dict(found.settings) if role.covers(Role.WRITE) else {})


def summary(found: records.Summary) -> Summary:
    """For a list."""
    known = {name: getattr(found, name) for name in Summary.__struct_fields__ if name != "event"}
    return Summary(**known, event=EventKind(found.kind))


def build(found: records.Build, stages: tuple[records.Stage, ...]) -> Build:
    """With everything."""
    event = found.event
    return Build(
        number=found.number,
        state=found.state,
        event=event.kind,
        branch=event.branch,
        ref=event.full_ref,
        commit=event.commit,
        title=event.message.partition("\n")[0],
        author=event.author_login or event.author,
        pull_request=event.pull_request,
        created=found.created,
        started=found.started,
        finished=found.finished,
        message=event.message,
        link=event.link,
        parent=found.parent,
        priority=found.priority,
        error=found.error,
        decided_by=found.decided_by,
        diagnostics=[msgspec.convert(dict(one), Diagnostic) for one in found.diagnostics],
        stages=[_stage(one) for one in stages],
    )


def secret(found: StoredSecret) -> Secret:
    """By its limits."""
    return Secret(
        name=found.name, events=sorted(found.events), branches=list(found.branches), images=list(found.images)
    )


def user(found: users.User) -> User:
    """Without what he logs in with."""
    return User(login=found.login, forge_url=found.forge_url, email=found.email, admin=found.admin)


def token(found: tokens.Token) -> Token:
    """By how it begins."""
    return Token(**{name: getattr(found, name) for name in Token.__struct_fields__})


def _stage(found: records.Stage) -> Stage:
    known = {name: getattr(found, name) for name in Stage.__struct_fields__}
    changed = {
        "matrix": dict(found.matrix),
        "labels": dict(found.labels),
        "depends_on": list(found.depends_on),
        "steps": [Step(**{name: getattr(one, name) for name in Step.__struct_fields__}) for one in found.steps],
    }
    return Stage(**known | changed)
