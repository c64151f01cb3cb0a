"""Numbers, times and pax records."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import InvalidError
from sandbox.image import tarformat


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"0000644\0", 0o644),
        (b"   644 \0", 0o644),
        (b"\0\0\0\0\0\0\0\0", 0),
        (b"644\0junk", 0o644),
        (b"\x80\0\0\0\0\0\1\0", 256),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff", -1),
        (b"\xff" * 11 + b"\xfe", -2),
    ],
)
def test_numbers(field: bytes, value: int) -> None:
    """Octal in all the ways tars pad it, and base-256 of either sign."""
    assert tarformat.number(field, "x") == value


@pytest.mark.parametrize(
    "field", [b"000_644\0", b"0o644\0\0\0", b"-644\0\0\0\0", b"+644\0\0\0\0", b"899\0\0\0\0\0", b"6 44\0\0\0\0"]
)
def test_what_python_takes_for_a_number_and_tar_does_not(field: bytes) -> None:
    """int() is more generous than the format."""
    with pytest.raises(InvalidError):
        tarformat.number(field, "x")


@given(st.integers(-(2**40) * 10**9, 2**40 * 10**9))
def test_times_both_ways(nanoseconds: int) -> None:
    """A pax time is exact."""
    assert tarformat.parse_time(tarformat.format_time(nanoseconds)) == nanoseconds


@pytest.mark.parametrize("text", [b"", b"-", b"1.x", b"1e9", b"--1", b" 1", b"inf", b".5"])
def test_what_is_no_time(text: bytes) -> None:
    """Only decimal figures, one point, one sign."""
    with pytest.raises(InvalidError):
        tarformat.parse_time(text)


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=30), st.binary(max_size=200))))
def test_pax_records_both_ways(records: list[tuple[bytes, bytes]]) -> None:
    """Whatever is in a value, line feeds and equals signs included."""
    records = [(key.replace(b"=", b"-").replace(b"\0", b"-"), value) for key, value in records]
    assert tarformat.parse_pax(tarformat.format_pax(records)) == records


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"5 a=b",
        b"6 a=b",
        b"7 a=b\n",
        b"5 a=b\n",
        b"-6 a=b\n",
        b"4 a\n",
        b"5 =b\n",
        b"0 a=b\n",
        b"6 a=bx",
        b"99999999999999999999 a=b\n",
        b"1000000000000 a=b\n",
    ],
)
def test_broken_pax_records(data: bytes) -> None:
    """A record whose length is not its length is refused."""
    with pytest.raises(InvalidError):
        tarformat.parse_pax(data)
