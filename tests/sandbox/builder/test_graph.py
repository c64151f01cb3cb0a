"""Which stages a target needs."""

from __future__ import annotations

import pytest

from sandbox.builder.graph import StagePlan, plan_build
from sandbox.dockerfile.parsing import parse
from sandbox.errors import InvalidError
from sandbox.image.platform import Platform

TEXT = b"""
ARG BASE=debian
FROM $BASE AS tools
RUN make
FROM busybox AS unused
FROM tools AS build
RUN --mount=type=bind,from=assets,target=/a --mount=type=cache,target=/$x make
FROM scratch AS assets
COPY x /
FROM scratch
COPY --from=build /out /
COPY --from=3 /x /
COPY --from=nginx:1 /etc/nginx /
"""


def plans(text: bytes, target: str = "") -> tuple[StagePlan, ...]:
    """The plan of a text."""
    return plan_build(parse(text).require(), {}, Platform("linux", "amd64"), target).stages


def test_stages_that_are_not_needed_are_left_out() -> None:
    """Only what the target is reached from is built, in the order of the file."""
    assert [(plan.stage.name, plan.image, plan.parent, plan.needs) for plan in plans(TEXT)] == [
        ("tools", "debian", None, ()),
        ("build", "", 0, (0,)),
        ("assets", "scratch", None, ()),
        ("4", "scratch", None, (2, 3)),
    ]


def test_targets_have_names_in_any_case_and_numbers() -> None:
    """The plan ends with the target."""
    assert [plan.stage.name for plan in plans(TEXT, "BUILD")] == ["tools", "build"]
    assert [plan.stage.name for plan in plans(TEXT, "1")] == ["unused"]


def test_unknown_targets() -> None:
    """The error names what was probably meant."""
    with pytest.raises(InvalidError, match="'biuld' could not be found") as caught:
        plans(TEXT, "biuld")
    assert caught.value.hint == "did you mean build?"


def test_a_stage_is_no_source_of_itself() -> None:
    """Said before anything is built."""
    with pytest.raises(InvalidError, match="itself"):
        plans(b"FROM a AS me\nCOPY --from=me x y")


def test_from_that_names_nothing() -> None:
    """An empty variable is told with its line."""
    with pytest.raises(InvalidError, match="line 1 names no image"):
        plans(b"FROM $BAES")


def test_a_name_that_is_given_twice_is_that_of_the_last_stage() -> None:
    """And a later stage is no stage yet: then it is an image."""
    found = plans(b"FROM a AS x\nFROM b AS x\nFROM x\nCOPY --from=later a b\nFROM c AS later", "2")
    assert [plan.stage.number for plan in found] == [1, 2]


def test_words_that_cannot_be_read() -> None:
    """Of ARG and FROM; with their line."""
    for text, line in ((b"ARG A=${B\nFROM a", 1), (b"FROM a${B", 1), (b"FROM a\nFROM ${B:?no}", 2)):
        with pytest.raises(InvalidError, match=f"Dockerfile:{line}:1: error"):
            plans(text)
