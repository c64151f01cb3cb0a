"""One build: what it was made for, its Stages as a graph, their steps with times, and why something is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml
from flask import Blueprint, make_response, redirect, render_template, request

from ci.access.roles import Role
from ci.store import builds, stages
from web.access import gate
from web.deciding import Decision, decide
from web.pages import graph
from web.pages.builds import of_repository
from web.services import current

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as AnyResponse

    from ci.store.records import Build, Stage
    from ci.store.repositories import Repository

blueprint = Blueprint("build", __name__)


@blueprint.get("/<path:name>/<int:number>")
def page(name: str, number: int) -> AnyResponse | str:
    """The page, or with `part` in the address only what changes while it runs. 304 where nothing has."""
    if "/" not in name:  # the number is the repository's name: every repository has an owner
        return of_repository(gate.repository(f"{name}/{number}"))
    repository, build, found = _read(name, number)
    template = "build_part.html" if "part" in request.args else "build.html"
    response = make_response(
        render_template(
            template,
            repository=repository,
            build=build,
            event=build.event,
            stages=found,
            graph=graph.layout(found),
            may_change=gate.role(repository).covers(Role.WRITE),
        )
    )
    response.add_etag()
    return response.make_conditional(request)


@blueprint.post("/<path:name>/<int:number>/-/<any(cancel, restart, approve, decline):decision>")
def change(name: str, number: int, decision: str) -> AnyResponse:
    """What the buttons of the page ask for."""
    repository = gate.repository(name, Role.WRITE)
    decide(current(), repository, number, Decision(decision), gate.member())
    return redirect(f"/{repository.name}/{number}")


@blueprint.get("/<path:name>/<int:number>/-/configuration")
def configuration(name: str, number: int) -> str:
    """The Stages as they were compiled: what runners are given, the secrets by their names."""
    repository, build, found = _read(name, number)
    shown = [(stage, yaml.safe_dump(dict(stage.spec), sort_keys=False, allow_unicode=True)) for stage in found]
    return render_template("configuration.html", repository=repository, build=build, shown=shown)


def _read(name: str, number: int) -> tuple[Repository, Build, tuple[Stage, ...]]:
    repository = gate.repository(name)
    with current().database.read() as connection:
        build = builds.find(connection, repository.id, number)
        return repository, build, stages.of_build(connection, build.id)
