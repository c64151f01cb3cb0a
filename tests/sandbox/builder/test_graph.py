"""Which stages a target needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.builder.graph import StagePlan, plan_build
from sandbox.dockerfile.parsing import parse
from sandbox.errors import InvalidError
from sandbox.image.platform import Platform

GRAPHS = Path(__file__).parent / "graphs"
TEXT = b"""
ARG BASE=debian
FROM $BASE AS tools
RUN make
FROM busybox AS unused
FROM scratch AS assets
COPY x /
FROM tools AS build
RUN --mount=type=bind,from=assets,target=/a --mount=type=cache,target=/$x make
FROM scratch
COPY --from=build /out /
COPY --from=ASSETS /x /
COPY --from=nginx:1 /etc/nginx /
"""


def plans(text: bytes, target: str = "") -> tuple[StagePlan, ...]:
    """The plan of a text."""
    return plan_build(parse(text).require(), {}, Platform("linux", "amd64"), target).stages


def test_stages_that_are_not_needed_are_left_out() -> None:
    """Only what the target is reached from is built, in the order of the file."""
    assert [(plan.stage.name, plan.image, plan.parent, plan.needs) for plan in plans(TEXT)] == [
        ("tools", "debian", None, ()),
        ("assets", "scratch", None, ()),
        ("build", "", 0, (0, 2)),
        ("4", "scratch", None, (2, 3)),
    ]


def test_targets_have_names_in_any_case_and_numbers() -> None:
    """The plan ends with the target."""
    assert [plan.stage.name for plan in plans(TEXT, "BUILD")] == ["tools", "assets", "build"]
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
    """And a later stage is no stage yet for FROM: then it is an image; no files can come from it."""
    found = plans(b"FROM a AS x\nFROM b AS x\nFROM x\nFROM later\nFROM c AS later", "2")
    assert [plan.stage.number for plan in found] == [1, 2]
    assert plans(b"FROM later\nFROM c AS later", "0")[0].image == "later"
    for taking in (b"COPY --from=later a b", b"COPY --from=1 a b", b"RUN --mount=from=later,target=/x true"):
        text = b"FROM a\n" + taking + b"\nFROM c AS later"
        assert len(plans(text)) == 1
        with pytest.raises(InvalidError, match="defined after it, in line 3"):
            plans(text, "0")


def test_words_that_cannot_be_read() -> None:
    """Of ARG and FROM; with their line."""
    for text, line in ((b"ARG A=${B\nFROM a", 1), (b"FROM a${B", 1), (b"FROM a\nFROM ${B:?no}", 2)):
        with pytest.raises(InvalidError, match=f"Dockerfile:{line}:1: error"):
            plans(text)


@pytest.mark.parametrize("path", sorted(GRAPHS.glob("*.Dockerfile")), ids=lambda path: path.stem)
def test_golden_graphs(path: Path) -> None:
    """Each file of `graphs` has the stages that the text beside it says, for each of its targets."""
    dockerfile = parse(path.read_bytes()).require()
    targets = dict.fromkeys(("", *(stage.base.alias for stage in dockerfile.stages if stage.base.alias)))
    said = "\n".join(f"target {target or 'of the file'}\n{drawn(path.read_bytes(), target)}" for target in targets)
    assert said == path.with_suffix(".graph").read_text()


def drawn(text: bytes, target: str) -> str:
    """A line for each stage: number and name, what it stands on, what else it needs."""
    lines = []
    for plan in plans(text, target):
        base = f"stage {plan.parent}" if plan.parent is not None else plan.image
        others = [str(number) for number in plan.needs if number != plan.parent]
        platform = f" for {plan.platform}" if plan.platform else ""
        needs = f", needs {' '.join(others)}" if others else ""
        lines.append(f"  {plan.stage.number} {plan.stage.name} on {base}{platform}{needs}\n")
    return "".join(lines)
