"""The graph of a pipeline, as text and as a picture."""

from __future__ import annotations

from xml.etree import ElementTree

from ci.cli.drawing import levels, svg, text
from ci.cli.selection import select
from ci.pipeline.spec import StageSpec, StepSpec


def step(name: str, *depends_on: str, **fields: object) -> StepSpec:
    """A step."""
    return StepSpec(name=name, image="x", depends_on=depends_on, **fields)  # type: ignore[arg-type]


STAGES = (
    StageSpec(
        name="test",
        number=1,
        steps=(step("pack", "unit", "lint"), step("build"), step("unit", "build"), step("lint")),
        services=(step("db", ports=(5432,)),),
        skipped=("deploy",),
    ),
    StageSpec(name="<publish>", number=2, steps=(step("a" * 40),), depends_on=("test",)),
)


def test_steps_that_can_run_together_are_on_one_level() -> None:
    """Whatever their order in the file."""
    assert [[one.name for one in level] for level in levels(STAGES[0].steps)] == [["build", "lint"], ["unit"], ["pack"]]
    assert levels(()) == ()


def test_the_text() -> None:
    """Levels, services, what waits for what, what does not run."""
    assert text(select(STAGES, skip=["unit"])).startswith("""test
  service  db on 5432
        1  build
           lint
        2  unit <- build (left out)
        3  pack <- unit, lint
        -  deploy (its conditions do not hold)

<publish> <- test
        1  aaa""")


def test_no_line_goes_through_a_box() -> None:
    """A dependency over several columns passes below what is between."""
    stage = StageSpec(name="long", number=1, steps=(step("a"), step("b", "a"), step("c", "b"), step("d", "c", "a")))
    root = ElementTree.fromstring(svg(select((stage,))))  # noqa: S314
    names = {"svg": "http://www.w3.org/2000/svg"}
    boxes = [int(rect.get("y", "")) for rect in root.findall(".//svg:rect", names)]
    assert len(set(boxes)) == 1
    bottom = boxes[0] + int(root.findall(".//svg:rect", names)[0].get("height", ""))
    (long,) = (way for path in root.findall(".//svg:path", names) if "H" in (way := path.get("d", "")))
    lanes = [int(part.rsplit(" ", 1)[1]) for part in long.split(" H")[:-1]]
    assert len(lanes) == 2
    assert all(y > bottom for y in lanes)


def test_the_picture_is_well_formed() -> None:
    """A box for each step, a line for each dependency; names are escaped."""
    root = ElementTree.fromstring(svg(select(STAGES)))  # noqa: S314
    names = {"svg": "http://www.w3.org/2000/svg"}
    assert len(root.findall(".//svg:rect", names)) == 5
    assert len(root.findall(".//svg:path", names)) == 3
    assert any((element.text or "").startswith("<publish>") for element in root.iter())
