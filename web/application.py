"""The server as a WSGI application. Each part of it is a blueprint; what they all have in common is here."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from flask import Flask
from werkzeug.exceptions import NotFound
from werkzeug.middleware.proxy_fix import ProxyFix

from ci.errors import CiError
from web import health, hooks, logs, refusals, rpc
from web.access import identity, login
from web.api import routes as api
from web.images import EXTENSION as IMAGES
from web.images import Images
from web.pages import build, builds, repositories, words
from web.services import EXTENSION

if TYPE_CHECKING:
    from flask import Response

    from web.services import Services

_LARGEST_BODY = 32 << 20  # bytes, where an endpoint does not allow more
# Pages have no script and no style but the server's own files, and are shown in no frame (CSP level 3).
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: https:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_BLUEPRINTS = (
    health.blueprint,
    login.blueprint,
    api.blueprint,
    hooks.blueprint,
    rpc.blueprint,
    repositories.blueprint,
    builds.blueprint,
    build.blueprint,
    logs.blueprint,
)


def create_app(services: Services) -> Flask:
    """The application on these services."""
    app = Flask("web", template_folder="pages/templates", static_folder="pages/static")
    app.config["MAX_CONTENT_LENGTH"] = _LARGEST_BODY
    app.extensions[EXTENSION] = services
    app.jinja_options = {"autoescape": True}
    app.json.sort_keys = False  # type: ignore[attr-defined]
    for blueprint in _BLUEPRINTS:
        app.register_blueprint(blueprint)
    for prefix in ("api", "rpc", "hooks"):  # no names of owners, whose repositories pages show
        app.add_url_rule(f"/{prefix}/<path:rest>", "nothing", _nothing)
    refusals.register(app)
    app.context_processor(_common)
    words.register(app)

    @app.after_request
    def protect(response: Response) -> Response:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        if services.settings.secure:
            response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
        return response

    app.extensions[IMAGES] = images = Images(app.wsgi_app, services)
    app.wsgi_app = images  # type: ignore[method-assign]
    if services.settings.proxies:
        count = services.settings.proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=count)  # type: ignore[method-assign]
    return app


def _nothing(rest: str) -> NoReturn:  # noqa: ARG001  (the rule has it)
    raise NotFound


def _common() -> dict[str, object]:
    """What every page shows; also one that says why nobody knows who asks."""
    try:
        who = identity.identity()
    except CiError:
        who = identity.Identity()
    return {"user": who.user, "csrf_token": who.csrf_token}
