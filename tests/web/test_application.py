"""What all parts of the web have in common: errors, headers, health."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci.errors import CiError
from web import refusals

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient

    from web.services import Services


def test_health(client: FlaskClient) -> None:
    """A server that works says so."""
    assert client.get("/healthz").json == {"status": "ok"}
    assert client.get("/readyz").json == {"status": "ok"}


def test_a_server_without_its_queue(client: FlaskClient, services: Services) -> None:
    """Lives, but is not ready: a line says why, and when to ask again."""
    assert services.valkey is not None
    services.valkey.stop()
    assert client.get("/healthz").status_code == 200
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    assert "does not answer" in response.text


def test_errors_for_programs_and_for_people(client: FlaskClient) -> None:
    """JSON where programs ask, a page elsewhere, which has nothing of the path but its text."""
    assert client.get("/api/v1/none").json == {
        "error": {"reference": "not-found", "message": "there is no /api/v1/none", "hint": ""}
    }
    assert "POST is not for /healthz" in client.post("/healthz").text
    page = client.get("/<script>", headers={"Accept": "text/html"})
    assert page.status_code == 404
    assert "&lt;script&gt;" in page.text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (CiError("x"), 400),
        (CiError("x", reference="no-such-build"), 404),
        (CiError("x", reference="repository-exists"), 409),
        (refusals.ForbiddenError("x"), 403),
        (refusals.TooManyError("x", retry_after=7), 429),
        (ZeroDivisionError("secret"), 500),
    ],
)
def test_errors_have_a_status(app: Flask, error: Exception, status: int) -> None:
    """By what they refer to; what nobody foresaw tells nothing of the server."""

    def fail() -> str:
        raise error

    app.add_url_rule("/api/fail", view_func=fail)
    response = app.test_client().get("/api/fail")
    assert response.status_code == status
    assert ("secret" in response.text) is False
    assert response.headers.get("Retry-After") == ("7" if status == 429 else None)


def test_headers(client: FlaskClient) -> None:
    """Nothing from elsewhere is loaded or run, in no frame; also on errors."""
    for path in ("/healthz", "/none"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "Strict-Transport-Security" not in headers
