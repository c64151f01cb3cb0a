"""The first page: the repositories that somebody may see, each with its last build."""

from __future__ import annotations

from flask import Blueprint, render_template, request

from ci.store import builds, permissions
from web.access.identity import identity
from web.services import current

blueprint = Blueprint("repositories", __name__)


@blueprint.get("/")
def front() -> str:
    """Those whose name has all words of the search in it; those built last first."""
    words = request.args.get("q", "").lower().split()
    with current().database.read() as connection:
        readable = permissions.readable(connection, identity().user)
        latest = builds.latest(connection, [one.id for one in readable])
    found = [one for one in readable if all(word in one.name.lower() for word in words)]
    found.sort(key=lambda one: -(latest[one.id].created if one.id in latest else 0.0))
    return render_template("repositories.html", repositories=found, latest=latest, query=" ".join(words))
