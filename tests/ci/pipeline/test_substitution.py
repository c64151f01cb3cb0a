"""`${NAME}` in values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.pipeline.substitution import Parameter, SubstitutionError, expand, parameters, parse

VALUES = {"A": "1", "B": "${A}", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("plain", "plain"),
        ("${A}", "1"),
        ("x${A}y${A}z", "x1y1z"),
        ("${B}", "${A}"),
        ("$A ${EMPTY}${UNKNOWN}|", "$A |"),
        ("$$", "$"),
        ("$${A}", "${A}"),
        ("$$${A}", "$1"),
        ("$$$$", "$$"),
        ("100$", "100$"),
        ("$(id) `id` $1 $?", "$(id) `id` $1 $?"),
        ("", ""),
    ],
)
def test_expand(text: str, expanded: str) -> None:
    """Only `${NAME}` is replaced, once; `$$` is a `$`; everything else stays."""
    assert expand(text, VALUES.get) == expanded


@pytest.mark.parametrize("text", ["${", "${A", "${}", "${A:-b}", "${1}", "${A }", "a ${A-${B}}"])
def test_not_understood(text: str) -> None:
    """A `${` that names no variable is an error at its place."""
    with pytest.raises(SubstitutionError) as error:
        parse(text)
    assert text[error.value.start :].startswith("${")


def test_places() -> None:
    """A parameter knows where it stands."""
    assert parameters("a $$ ${A}-${LONG}") == (Parameter("A", 5, 9), Parameter("LONG", 10, 17))


@given(st.text())
def test_escaped_text_stays(text: str) -> None:
    """Any text with its `$` doubled is that text again."""
    assert expand(text.replace("$", "$$"), VALUES.get) == text


@given(st.text("${}A_ x"), st.text())
def test_values_are_not_looked_into(text: str, value: str) -> None:
    """What a variable holds is never replaced or parsed again."""
    try:
        result = expand(text, lambda _: value)
    except SubstitutionError:
        return
    assert result == "".join(part if isinstance(part, str) else value for part in parse(text))
