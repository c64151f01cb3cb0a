"""Filters of images."""

from __future__ import annotations

import pytest

from sandbox.errors import InvalidError
from sandbox.image import digest as digests
from sandbox.image.config import ImageConfig
from sandbox.image.image import Image
from sandbox.image.selection import LISTING, PRUNING, moment, parse, point

NOW = 1_800_000_000.0


def image(*names: str, created: str = "2027-01-15T07:00:00Z", **labels: str) -> Image:
    """An image of nothing, an hour old."""
    return Image(digests.of(b"i"), digests.of(b"m"), names, ImageConfig(labels=labels), (), created, "amd64", "linux")


@pytest.mark.parametrize(
    ("filters", "fits"),
    [
        ((), True),
        (("dangling=true",), False),
        (("dangling=false",), True),
        (("label=a",), True),
        (("label=a=1", "label=b"), True),
        (("label=a=2",), False),
        (("label=a", "label=c"), False),
        (("label!=c",), True),
        (("label!=a",), False),
        (("reference=x/*",), True),
        (("reference=*:2",), False),
        (("reference=no", "reference=x/y:1"), True),
        (("until=30m",), True),
        (("until=1h30m",), False),
        (("until=2027-01-15T06:00:00Z",), False),
        (("until=1800000000",), True),
        (("before=young",), True),
        (("since=young",), False),
        (("since=old", "label=a"), True),
    ],
)
def test_what_fits(filters: tuple[str, ...], fits: bool) -> None:
    """Docker's rules."""
    ages = {"young": "2027-01-15T07:30:00.123456789Z", "old": "2020-01-01T00:00:00+01:00"}
    selection = parse(filters, known=LISTING, now=NOW, created=ages.get)
    assert selection.fits(image("x/y:1", "z:1", a="1", b="2")) is fits


def test_names_that_fit() -> None:
    """Only the names that a filter is for are shown."""
    selection = parse(["reference=x/*"], known=LISTING, now=NOW, created=lambda _: None)
    assert selection.names(image("x/y:1", "z:1")) == ("x/y:1",)
    assert not parse(["until=1h"], known=LISTING, now=NOW, created=lambda _: None).fits(image("a", created=""))


@pytest.mark.parametrize(
    "text", ["", "x", "bad=1", "dangling=maybe", "until=", "until=yesterday", "until=1x", "before=none", "reference=a"]
)
def test_mistakes(text: str) -> None:
    """One line that names the filter."""
    known = (*PRUNING, "before")
    with pytest.raises(InvalidError):
        parse([text], known=known, now=NOW, created=lambda _: None)


def test_moments() -> None:
    """Go writes nanoseconds."""
    assert moment("1970-01-01T00:00:01.5Z") == 1.5 and moment("1970-01-01T00:00:01.123456789Z") == 1.123456
    assert moment("nonsense") is None and moment("") is None
    assert point("1d", NOW) == NOW - 86400
