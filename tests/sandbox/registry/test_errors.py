"""The bodies of registries' errors."""

from __future__ import annotations

from sandbox.registry.errors import ErrorCode, Problem, dump, parse


def test_what_is_written_is_read() -> None:
    """A body comes back as the problems that it was made of."""
    problem = Problem(ErrorCode.NAME_UNKNOWN, "no such repository", {"name": "a/b"})
    assert parse(dump(problem)) == (problem,)


def test_pages_are_no_problems() -> None:
    """What has another form (a proxy's page, a list, deep nesting) says nothing."""
    for body in (b"<html>", b"", b"[]", b'{"errors": 1}', b'{"errors": [1]}', b"[" * 100_000):
        assert parse(body) == ()


def test_messages_fit_a_terminal() -> None:
    """Control characters of a stranger's text are blanks, and long texts are cut."""
    (problem,) = parse(dump(Problem("X\x1b[2J", "a\nb" + "c" * 1000)))
    assert problem.code == "X [2J"
    assert problem.message.startswith("a b")
    assert len(problem.message) <= 300
