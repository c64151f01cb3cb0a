"""How outputs of steps are named, and how a file of them is read: whatever is in it, it is data or a mistake."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.pipeline.outputs import FILE_LIMIT, OutputError, Reference, parse, reference
from ci.pipeline.values import BadValue


def test_forms() -> None:
    """One line, several lines, empty ones, a value with everything in it; the later of two counts."""
    text = "a=1\n\nb=x=y << z\nnotes<<END\nfirst\n\n  a=2\nEND\nempty=\nnone<<X\nX\na=3\n"
    assert parse(text.encode()) == {
        "a": "3",
        "b": "x=y << z",
        "notes": "first\n\n  a=2",
        "empty": "",
        "none": "",
    }
    assert parse(b"") == {}
    assert parse(b"last=no end") == {"last": "no end"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no value\n", 'line 1 of the outputs is no "NAME=value"'),
        (b"a=1\n1b=2\n", 'line 2 of the outputs is no "NAME=value"'),
        (b"a b=1\n", 'line 1 of the outputs is no "NAME=value"'),
        (b"=1\n", 'line 1 of the outputs is no "NAME=value"'),
        (b"a=1\0\n", 'line 1 of the outputs is no "NAME=value"'),
        (b"a<<END\nx\nEND \n", 'line 1 of the outputs: there is no end "END" for a'),
        (b"a<<\n\n", 'line 1 of the outputs: there is no end "" for a'),
        (b"a<<E\n\0\nE\n", "the output a holds a NUL character"),
        (b"a=1\nb=\xff\n", "line 2 of the outputs is not UTF-8"),
        (b"a=" + b"x" * (64 * 1024 + 1), "the output a is larger than 64 KiB"),
        (b"x" * (FILE_LIMIT + 1), "the outputs are larger than 1 MiB"),
        (b"".join(b"n%d=\n" % n for n in range(101)), "there are more than 100 outputs"),
    ],
)
def test_mistakes(data: bytes, message: str) -> None:
    """Each names the line or the output, and nothing of the file is taken."""
    with pytest.raises(OutputError, match="^" + message.replace("(", "\\(") + "$"):
        parse(data)


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    """Outputs or an OutputError; names are names, and no value has a NUL, which no environment can hold."""
    try:
        found = parse(data)
    except OutputError:
        return
    assert all(name.replace("_", "").replace("-", "").isalnum() and "\0" not in found[name] for name in found)


def test_references() -> None:
    """The last dot is the one between step and output."""
    assert reference("v1.build.tag") == Reference("v1.build", "tag")
    for text in ("build", "build.", ".tag", "build.1", "build.a b"):
        with pytest.raises(BadValue):
            reference(text)
