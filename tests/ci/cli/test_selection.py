"""What the options of `ci-run local` choose, and what is said of those that fit nothing."""

from __future__ import annotations

from typing import Any

import pytest

from ci.cli.selection import require_secrets, require_trust, select
from ci.errors import CiError
from ci.pipeline.spec import StageSpec, StepSpec, VolumeMount


def step(name: str, **fields: Any) -> StepSpec:
    """A step."""
    return StepSpec(name=name, image=f"{name}:1", line=7, **fields)


def stage(number: int, *steps: StepSpec, **fields: Any) -> StageSpec:
    """A Stage."""
    named: dict[str, Any] = {"name": "test", "number": number, "steps": steps}
    return StageSpec(**(named | fields))


def test_only_leaves_the_others_out() -> None:
    """The named steps run, with the services; Stages without any are dropped, also from what others depend on."""
    stages = (
        stage(1, step("a"), step("b"), services=(step("db"),)),
        stage(2, step("c"), name="lint"),
        stage(3, step("a"), name="deploy", depends_on=("lint", "test")),
    )
    chosen = select(stages, only=["a"])
    assert [(one.number, one.depends_on) for one in chosen.stages] == [(1, ()), (3, ("test",))]
    assert [one.name for _, one in chosen.containers()] == ["db", "a", "a"]
    assert list(chosen.images()) == ["db:1", "a:1"]


def test_skip_leaves_steps_and_services_out() -> None:
    """By name."""
    chosen = select((stage(1, step("a"), step("b"), services=(step("db"),)),), skip=["b", "db"])
    assert [one.name for _, one in chosen.containers()] == ["a"]


def test_patterns_fit_steps_and_stages() -> None:
    """A pattern fits a step, a Stage with all of its steps, or one step of one Stage."""
    stages = (
        stage(1, step("unit-a"), step("unit-b"), step("style")),
        stage(2, step("style"), step("build"), name="pack", services=(step("db"),)),
    )

    def run(**options: Any) -> list[tuple[int, str]]:
        return [(one.number, each.name) for one, each in select(stages, **options).containers()]

    assert run(only=["unit-*"]) == [(1, "unit-a"), (1, "unit-b")]
    assert run(only=["pack"]) == [(2, "db"), (2, "style"), (2, "build")]
    assert run(only=["*/style"], skip=["pack"]) == [(1, "style")]
    assert run(skip=["test/style", "{unit-*,db}"]) == [(2, "style"), (2, "build")]
    with pytest.raises(CiError, match="--only"):
        select(stages, only=["[a"])


def test_a_run_can_begin_in_the_middle() -> None:
    """--from leaves out what the step waits for, and what it has nothing to do with; later Stages run whole."""
    stages = (
        stage(1, step("a"), step("b", depends_on=("a",)), step("x"), step("c", depends_on=("b", "x"))),
        stage(2, step("d"), name="deploy", depends_on=("test",)),
        stage(3, step("e"), name="docs"),
    )
    chosen = select(stages, begin=["b"])
    assert [each.name for _, each in chosen.containers()] == ["b", "c", "d"]
    assert [each.name for _, each in select(stages, begin=["deploy"]).containers()] == ["d"]
    assert [each.name for _, each in select(stages, begin=["b"], skip=["deploy"]).containers()] == ["b", "c"]


def test_a_matrix_value_chooses_cells() -> None:
    """Stages without that axis stay."""
    stages = (
        stage(1, step("a"), matrix={"python": "3.11"}),
        stage(2, step("a"), matrix={"python": "3.12"}),
        stage(3, step("b"), name="docs"),
    )
    assert [one.number for one in select(stages, matrix={"python": "3.12"}).stages] == [2, 3]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"only": ["buidl"]}, "no step or stage is called 'buidl' (did you mean 'build'?)"),
        ({"skip": ["zzz"]}, "no step or stage is called 'zzz' (there are: build)"),
        ({"matrix": {"pyhton": "3"}}, "no axis is called 'pyhton' (did you mean 'python'?)"),
        ({"matrix": {"python": "3.1"}}, "python is never '3.1' (did you mean '3.11'?)"),
    ],
)
def test_misspelt_choices_are_said(options: Any, words: str) -> None:
    """With what was meant, or what there is."""
    with pytest.raises(CiError) as caught:
        select((stage(1, step("build"), matrix={"python": "3.11"}),), **options)
    assert words in str(caught.value)


def test_missing_secrets_are_named_all_at_once() -> None:
    """With the step and the line; those of steps that are left out do not matter."""
    stages = (stage(1, step("a", secrets={"X": "one"}), step("b", secrets={"Y": "two", "Z": "three"}), step("c")),)
    require_secrets(select(stages, skip=["b"]), {"one": "x"})
    with pytest.raises(CiError, match=r'2 secrets are not given: "two" \(b, line 7\), "three" \(b, line 7\)'):
        require_secrets(select(stages), {"one": "x"})


@pytest.mark.parametrize(
    "fields", [{"privileged": True}, {"volumes": (VolumeMount(host="/etc", target="/x"),)}], ids=["privileged", "host"]
)
def test_what_reaches_out_has_to_be_allowed(fields: Any) -> None:
    """A pipeline of somebody else must not get the host by itself."""
    with pytest.raises(CiError, match=r"line 7: a wants .*--trusted"):
        require_trust(select((stage(1, step("a", **fields)),)))
    require_trust(select((stage(1, step("a", volumes=(VolumeMount(name="cache", target="/x"),))),)))
