"""A repository's builds: a list without an end, filtered by what is in the address; and its badge.

The list comes in parts that begin at a build's number, so the ten-thousandth part is as quick as the first. Without
JavaScript each part is a page with a link to the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response, render_template, request

from ci.pipeline.event import EventKind
from ci.store import builds
from ci.store.records import Filter
from ci.store.states import State
from web.access import gate
from web.pages import badge
from web.refusals import NotFoundError
from web.services import current

if TYPE_CHECKING:
    from ci.store.records import Summary
    from ci.store.repositories import Repository

blueprint = Blueprint("builds", __name__)
_PART = 50


@blueprint.get("/<path:name>")
def page(name: str) -> str:
    """A repository's builds."""
    return of_repository(gate.repository(name))


def of_repository(repository: Repository) -> str:
    """Its page, or with `part` in the address only what comes after the rows that the page has."""
    wanted = _wanted()
    with current().database.read() as connection:
        found = builds.summaries(connection, repository.id, wanted)
    more = _address(wanted, found[-1].number) if len(found) == _PART else ""
    template = "builds_part.html" if "part" in request.args else "builds.html"
    return render_template(
        template,
        repository=repository,
        builds=found,
        more=more,
        wanted=wanted,
        kinds=list(EventKind),
        states=list(State),
    )


@blueprint.get("/<path:name>/-/badge.svg")
def show_badge(name: str) -> Response:
    """How the last build of a branch ended, by default of the default one: for a README."""
    repository = gate.repository(name)
    branch = request.args.get("branch") or repository.default_branch
    last = _last(repository, branch)
    response = Response(badge.svg(last.state if last else None), mimetype="image/svg+xml")
    response.headers["Cache-Control"] = "no-cache"  # forges keep pictures
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


def _last(repository: Repository, branch: str) -> Summary | None:
    """The last one that has run: of a push, not of somebody's pull request to the branch."""
    with current().database.read() as connection:
        found = builds.summaries(connection, repository.id, Filter(branch=branch, kind=EventKind.PUSH, limit=20))
    return next((one for one in found if one.state not in (State.SKIPPED, State.BLOCKED)), None)


def _wanted() -> Filter:
    before = request.args.get("before", "")
    if before and not (before.isascii() and before.isdecimal() and len(before) < 10):
        raise NotFoundError(f"there is no build {before}")
    texts = {name: request.args.get(name, "").strip() for name in ("branch", "kind", "state", "author")}
    return Filter(**texts, before=int(before or 0), limit=_PART)


def _address(wanted: Filter, before: int) -> dict[str, str]:
    """The parameters of the next part."""
    texts = {name: getattr(wanted, name) for name in ("branch", "kind", "state", "author")}
    return {name: text for name, text in texts.items() if text} | {"before": str(before)}
