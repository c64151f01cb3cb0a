"""Values of options in docker's notations."""

from __future__ import annotations

import math

import pytest

from sandbox.cli import values
from sandbox.cli.options import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1024", 1024),
        ("10b", 10),
        ("64k", 64 << 10),
        ("64K", 64 << 10),
        ("64m", 64 << 20),
        ("1.5g", 3 << 29),
        ("2GB", 2 << 30),
        ("2GiB", 2 << 30),
        ("1 t", 1 << 40),
        ("0.5k", 512),
    ],
)
def test_sizes(text: str, expected: int) -> None:
    """Bytes, and units that are powers of 1024, in any case."""
    assert values.size(text, "--memory") == expected


@pytest.mark.parametrize(
    "text", ["", "m", "x", "1x", "1mm", "-5m", "1.2.3g", "1e3", "nan", "inf", "²m", "5 m m", "1ib"]
)
def test_what_is_no_size(text: str) -> None:
    """The message names option and value, the hint shows a size."""
    with pytest.raises(UsageError) as caught:
        values.size(text, "--memory")
    assert f"--memory {text!r} is not a size" in str(caught.value)


def test_processors() -> None:
    """A positive number of processors; no nonsense that floats know."""
    assert values.processors("0.5", "--cpus") == 0.5
    for text in ("0", "-1", "nan", "inf", "x", "", "0.001"):
        with pytest.raises(UsageError, match="--cpus"):
            values.processors(text, "--cpus")
    assert not math.isnan(values.processors("2", "--cpus"))


def test_environment() -> None:
    """A value may have `=` in it or be empty; a NAME alone is taken from here or left out."""
    entries = ("A=1", "B=", "C=x=y", "HERE", "NOWHERE", "A=2")
    assert values.environment(entries, "--env", {"HERE": "yes"}) == {"A": "2", "B": "", "C": "x=y", "HERE": "yes"}
    with pytest.raises(UsageError, match="--env '=x' has no name"):
        values.environment(["=x"], "--env", {})


def test_labels() -> None:
    """A label without a value is empty, whatever the environment has."""
    assert values.labels(["a", "b=1", "c=x=y"], "--label") == {"a": "", "b": "1", "c": "x=y"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("db:10.0.0.7", ("db", "10.0.0.7")),
        ("db=10.0.0.7", ("db", "10.0.0.7")),
        ("db:::1", ("db", "::1")),
        ("db:[fe80::1]", ("db", "fe80::1")),
    ],
)
def test_hosts(text: str, expected: tuple[str, str]) -> None:
    """Name and address, version 6 with or without brackets."""
    assert values.host(text, "--add-host") == expected


@pytest.mark.parametrize("text", ["db", "db:", ":10.0.0.7", "db:nowhere", "db:10.0.0.7\nevil 1.2.3.4"])
def test_wrong_hosts(text: str) -> None:
    """What has no address, or more than one line, is refused."""
    with pytest.raises(UsageError, match="--add-host"):
        values.host(text, "--add-host")


def test_files_of_entries() -> None:
    """Docker's: one a line, no quotes, comments and blank lines left out; a name has no blanks."""
    text = "\ufeffA=1\n# not this\n\n  B = x\n".replace("B = x", "B= x ")
    assert values.lines(text, "file", "--env-file") == ["A=1", "B= x "]
    with pytest.raises(UsageError, match="--env-file file, line 2: 'A B' is not a name"):
        values.lines("A=1\nA B=2", "file", "--env-file")
    with pytest.raises(UsageError, match="line 1: '' is not a name"):
        values.lines("=1", "file", "--env-file")
