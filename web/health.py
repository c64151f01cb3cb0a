"""Whether a server lives, and whether it can work: for load balancers, systemd and Kubernetes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sql
from flask import Blueprint, jsonify

from web.services import current

if TYPE_CHECKING:
    from flask import Response

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    """This process answers."""
    return jsonify(status="ok")


@blueprint.get("/readyz")
def readyz() -> Response:
    """The database and Redis answer as well; what does not is answered with 503 (`refusals`)."""
    services = current()
    with services.database.read() as connection:
        connection.execute(sql.select(1))
    services.redis.ping()
    return jsonify(status="ok")
