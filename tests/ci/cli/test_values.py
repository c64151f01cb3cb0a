"""Variables and secrets as arguments and files, and what is said of malformed ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.cli.values import assignments, dotenv, secrets, variables
from ci.errors import CiError


def test_a_variable_without_a_value_is_taken_from_the_environment() -> None:
    """As `docker run -e NAME`; one that is not there is a mistake."""
    assert variables(["A", "B=2"], {"A": "1"}) == {"A": "1", "B": "2"}
    with pytest.raises(CiError, match="'C' is not NAME=VALUE"):
        variables(["C"], {})


def test_assignments_are_read() -> None:
    """The value may hold anything, and be empty."""
    assert assignments("--env", ["A=1", "B=x=y z", "C=", "A=2"]) == {"A": "2", "B": "x=y z", "C": ""}
    for bad in ("A", "=x", "a b=c", "1=2"):
        with pytest.raises(CiError, match="--env"):
            assignments("--env", [bad])


def test_secrets_come_from_files_arguments_and_the_environment() -> None:
    """Arguments count more than files; a name alone takes the value of the environment."""
    found = secrets(
        ["b=2", "HOME_TOKEN"],
        ["x.env"],
        environment={"HOME_TOKEN": "t"},
        read=lambda _: "a=1\nb=1\n",
    )
    assert found == {"a": "1", "b": "2", "HOME_TOKEN": "t"}
    with pytest.raises(CiError, match=r"there is no \$NONE"):
        secrets(["NONE"], [], environment={}, read=str)


def test_a_malformed_secret_is_not_repeated() -> None:
    """The message must not hold what may be a secret."""
    with pytest.raises(CiError) as caught:
        secrets(["pass word=hunter22"], [], environment={}, read=str)
    assert "hunter22" not in str(caught.value)
    with pytest.raises(CiError) as caught:
        dotenv("A=1\nhunter22\n", ".env")
    assert str(caught.value) == ".env:2: not a line NAME=VALUE"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("A=1\n\n# comment\nexport B = two words \r\n", {"A": "1", "B": "two words"}),
        ("A=x#y # comment\nB=# nothing", {"A": "x#y", "B": ""}),
        ("A='a\\n$b \"c\" # d' # comment\nB=2", {"A": 'a\\n$b "c" # d', "B": "2"}),
        ('A="line\\nbreak \\"q\\" \\$x \\z"', {"A": 'line\nbreak "q" $x \\z'}),
        ("KEY='-----BEGIN-----\nabc\n-----END-----'\nB=2", {"KEY": "-----BEGIN-----\nabc\n-----END-----", "B": "2"}),
        ("\ufeffA=1", {"A": "1"}),
        ("A=$B`id`", {"A": "$B`id`"}),
        ("", {}),
    ],
)
def test_secret_files_are_read(text: str, values: dict[str, str]) -> None:
    """The common forms of .env files; nothing is substituted or run."""
    assert dotenv(text, ".env") == values


def test_an_open_quote_is_said() -> None:
    """With the line it begins on, without the value."""
    with pytest.raises(CiError, match=r"^\.env:2: the quote ' is not closed$"):
        dotenv("A=1\nB='hunter22\n\n", ".env")


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text makes it fail in another way."""
    try:
        dotenv(text, ".env")
    except CiError:
        return
