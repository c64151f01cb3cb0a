"""Resource limits: Docker's `--ulimit`, and setting them."""

from __future__ import annotations

import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import InvalidError
from sandbox.kernel import rlimits
from sandbox.kernel.rlimits import UNLIMITED, ResourceLimit
from tests.sandbox.kernel.children import in_child


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nofile=1024:2048", ("nofile", 1024, 2048)),
        ("nofile=1024", ("nofile", 1024, 1024)),
        ("core=-1", ("core", UNLIMITED, UNLIMITED)),
        ("cpu=5:unlimited", ("cpu", 5, UNLIMITED)),
        ("nice=0:0", ("nice", 0, 0)),
    ],
)
def test_a_limit_is_read(text: str, expected: tuple[str, int, int]) -> None:
    """Soft and hard; one number is both; -1 and `unlimited` are no limit."""
    name, soft, hard = expected
    assert rlimits.parse(text) == ResourceLimit(name=name, soft=soft, hard=hard)


@pytest.mark.parametrize(
    "text",
    ["", "nofile", "nofile=", "nofile=x", "nofile=1:", "nofile=1:2:3", "files=1", "nofile=-2", "NOFILE=1", "nofile= 1"],
)
def test_a_malformed_limit_is_named(text: str) -> None:
    """The error holds the text as it was given."""
    with pytest.raises(InvalidError) as caught:
        rlimits.parse(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["nofile=3:2", "nofile=-1:2"])
def test_a_soft_limit_above_the_hard_one_is_refused(text: str) -> None:
    """Also no limit is above a limit."""
    with pytest.raises(InvalidError, match="above"):
        rlimits.parse(text)


@given(st.text())
def test_any_text_is_a_limit_or_an_error_of_ours(text: str) -> None:
    """Nothing but InvalidError comes out of what a person types."""
    for candidate in (text, f"nofile={text}", f"nofile=1:{text}"):
        try:
            limit = rlimits.parse(candidate)
        except InvalidError:
            continue
        assert limit.name in rlimits.NUMBERS


def test_the_numbers_are_pythons() -> None:
    """Every name that Python's resource module knows has the same number there."""
    for name, number in rlimits.NUMBERS.items():
        assert getattr(resource, f"RLIMIT_{name.upper()}", number) == number


def test_limits_are_set() -> None:
    """Soft and hard are in force, and nothing is to be said."""

    def child() -> tuple[tuple[str, ...], tuple[int, int], tuple[int, int]]:
        warnings = rlimits.apply([rlimits.parse("nofile=100:200"), rlimits.parse("core=0")])
        return warnings, resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_CORE)

    assert in_child(child) == ((), (100, 200), (0, 0))


@pytest.mark.parametrize(
    ("wanted", "expected"), [("nofile=150:400", (150, 200)), ("nofile=300:400", (200, 200)), ("nofile=-1", (200, 200))]
)
def test_what_cannot_be_raised_is_set_as_far_as_it_goes(wanted: str, expected: tuple[int, int]) -> None:
    """Without the capability the present hard limit is the most; one sentence names the limit and what it is."""

    def child() -> tuple[tuple[str, ...], tuple[int, int]]:
        from sandbox.kernel import namespaces  # noqa: PLC0415

        resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
        namespaces.unshare(namespaces.Flags.NEWUSER)  # its capabilities do not count for hard limits
        return rlimits.apply([rlimits.parse(wanted)]), resource.getrlimit(resource.RLIMIT_NOFILE)

    warnings, limits = in_child(child)
    assert limits == expected
    (warning,) = warnings
    assert "nofile" in warning
    assert f"{expected[0]}:{expected[1]}" in warning
