"""What our own dialect adds to steps and services: what lint says of it."""

from __future__ import annotations

import pytest

from tests.ci.pipeline.test_lint import codes

STEP = "steps: [{name: s, image: b}]"


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ("healthcheck: {tets: pg_isready}", [("missing-key", 1, 45), ("unknown-key", 1, 46)]),
        ("healthcheck: [x, y], wait: soon", [("bad-duration", 1, 59)]),
        ("healthcheck: {command: x, interval: 0}", [("bad-duration", 1, 68)]),
        ("healthcheck: {command: x, timeout: 1x}", [("bad-duration", 1, 67)]),
        ("wait: 5s", [("nothing-to-wait-for", 1, 38)]),
        ("ports: [1], wait: 5s", []),
        ('healthcheck: ""', [("missing-key", 1, 45)]),
        ("healthcheck: 'a ${NAME}'", [("undefined-variable", 1, 48)]),
        ("helthcheck: x", [("unknown-key", 1, 32)]),
    ],
)
def test_what_says_that_a_service_is_ready(service: str, expected: list[tuple[str, int, int]]) -> None:
    """Wrong forms of a healthcheck, times that are none, and a wait for nothing."""
    assert codes(f"services: [{{name: a, image: b, {service}}}]\n{STEP}") == expected
