"""`when.evaluate`: expressions over the variables."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.pipeline.expression import ExpressionError, evaluate, parse
from tests.processor_time import at_most

VARIABLES = {
    "CI_COMMIT_BRANCH": "release/1.2",
    "CI_PIPELINE_EVENT": "push",
    "CI_COMMIT_MESSAGE": "Fix [deploy]",
    "N": "7",
}


@pytest.mark.parametrize(
    "text",
    [
        'CI_PIPELINE_EVENT == "push"',
        "CI_PIPELINE_EVENT != 'tag'",
        'CI_COMMIT_BRANCH startsWith "release/" && CI_PIPELINE_EVENT in ["push", "tag"]',
        'CI_COMMIT_BRANCH endsWith "2" and not (CI_PIPELINE_EVENT == "tag")',
        'not (CI_COMMIT_MESSAGE contains "[skip]")',
        'CI_COMMIT_MESSAGE not contains "[skip]"',
        'CI_PIPELINE_EVENT not in ["tag"]',
        'CI_COMMIT_BRANCH matches "^release/[0-9.]+$"',
        "CI_COMMIT_TAG == nil",
        '(CI_COMMIT_TAG ?? "none") == "none"',
        'CI_COMMIT_TAG contains "x" || true',
        'lower(CI_COMMIT_MESSAGE) contains "fix"',
        'split(CI_COMMIT_BRANCH, "/")[1] == "1.2"',
        "len(CI_PIPELINE_EVENT) == 4 and int(N) + 1 == 8 and int(N) % 2 == 1",
        "1 == 1.0 and 1 + 2 * 3 == 7 and (1 + 2) * 3 == 9 and -1 < 0",
        'CI_PIPELINE_EVENT == "push" ? true : false',
        "true or undefined + 1 == 2",
        "!false && !(1 > 2)",
        '"a\\"b" == \'a"b\' and `a\\b` == "a\\\\b"',
        "true != false and true != 1",
    ],
)
def test_holds(text: str) -> None:
    """Expressions that are true of these variables; their negation is not."""
    assert evaluate(text, VARIABLES) is True
    assert evaluate(f"not ({text})", VARIABLES) is False


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("", "a value is expected here, not the end", 0),
        ("a ==", "a value is expected", 4),
        ("a == 'x", "is not expected here", 5),
        ("a b", '"b" is not expected here', 2),
        ("(a", '"\\)" is expected here, not the end', 2),
        ("fetch(a)", 'there is no function "fetch"', 0),
        ("a matches b", "wants a pattern", 10),
        ("a matches '('", "not a pattern", 10),
        ("a matches '(a+)+$'", "for ever", 10),
        ("not not not and", "a value is expected", 12),
        ("(" * 100 + "a" + ")" * 100, "nested", 50),
        ("a" * 10_001, "at most", 0),
    ],
)
def test_mistakes(text: str, message: str, place: int) -> None:
    """What cannot be read is said, with its place."""
    with pytest.raises(ExpressionError, match=message) as error:
        parse(text)
    assert error.value.start == place


@pytest.mark.parametrize(
    "text",
    [
        "1",
        "CI_COMMIT_TAG",
        '"a" < 1',
        "not 1",
        "[1][5] == 1",
        '"a" * 9 == "b"',
        "1 / 0 == 1",
        'int("x") == 1',
        "1" + " + 1" * 3000 + " == 1",
    ],
)
def test_what_cannot_be_evaluated(text: str) -> None:
    """A value that is no condition, or types that do not fit, are an error and no traceback."""
    with pytest.raises(ExpressionError):
        evaluate(text, VARIABLES)


@given(st.text(alphabet="ab()[]!=<>&|?:.,+-*/%'\"` 01innotadcs", max_size=60))
def test_any_text(text: str) -> None:
    """Whatever the text, it is a condition or an ExpressionError, at once."""
    with at_most(1), contextlib.suppress(ExpressionError):
        evaluate(text, VARIABLES)
