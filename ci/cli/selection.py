"""What the options of `ci-run local` choose of a pipeline: Stages and steps. Pure.

A pattern (`*`, `?`, `[a-z]`, `{a,b}`) fits a step's name, a Stage's name, which means all of its steps, or both as
`stage/step`. One that fits nothing is said before anything runs: it is most often a misspelling.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ci.errors import CiError
from ci.pipeline.glob import Glob, GlobError
from runners.trust import wants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ci.pipeline.spec import StageSpec, StepSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The Stages to run, and by their numbers the names of steps and services that are left out of them."""

    stages: tuple[StageSpec, ...]
    excluded: Mapping[int, frozenset[str]] = field(default_factory=dict)

    def left_out(self, stage: StageSpec) -> frozenset[str]:
        """The names of what does not run in a Stage."""
        return self.excluded.get(stage.number, frozenset())

    def containers(self) -> Iterator[tuple[StageSpec, StepSpec]]:
        """Every step and service that may run, with its Stage."""
        for stage in self.stages:
            for step in (*stage.services, *stage.steps):
                if step.name not in self.left_out(stage):
                    yield stage, step

    def images(self) -> dict[str, StepSpec]:
        """The images that are needed, each with the first step that needs it."""
        found: dict[str, StepSpec] = {}
        for _, step in self.containers():
            if step.build is not None or step.built_by or not step.image:
                continue  # it is made by the run
            found.setdefault(step.image, step)
        return found


def select(
    stages: Sequence[StageSpec],
    *,
    only: Sequence[str] = (),
    begin: Sequence[str] = (),
    skip: Sequence[str] = (),
    matrix: Mapping[str, str] | None = None,
) -> Selection:
    """Choose: of the matrix's cells, the steps of `only`, those of `begin` and what comes after them, and not `skip`.

    Stages that nothing is left of are dropped. Raises CiError for patterns and values that fit nothing.
    """
    chosen = _cells(stages, matrix or {})
    wanted = {stage.number: {step.name for step in stage.steps} for stage in chosen}
    if only:
        _keep(wanted, _fitting("--only", only, chosen, services=False))
    if begin:
        _keep(wanted, _after(_fitting("--from", begin, chosen, services=False), chosen))
    for stage in chosen:  # without the project there is nothing to choose for
        if wanted[stage.number]:
            wanted[stage.number] |= set(stage.clone.steps)
    services: dict[int, set[str]] = {}
    if skip:
        found = _fitting("--skip", skip, chosen, services=True)
        wanted = {number: names - found[number] for number, names in wanted.items()}
        services = found
    left = tuple(stage for stage in chosen if wanted[stage.number])
    present = {stage.name for stage in left}
    kept = tuple(
        replace(stage, depends_on=tuple(name for name in stage.depends_on if name in present)) for stage in left
    )
    excluded = {
        stage.number: frozenset(
            {step.name for step in stage.steps if step.name not in wanted[stage.number]}
            | {service.name for service in stage.services if service.name in services.get(stage.number, ())}
        )
        for stage in kept
    }
    return Selection(stages=kept, excluded=excluded)


def require_secrets(selection: Selection, given: Mapping[str, str]) -> None:
    """Raises CiError that names every secret which a step wants and nobody gave."""
    missing: dict[str, StepSpec] = {}
    for _, step in selection.containers():
        for name in step.secret_names:
            if name not in given:
                missing.setdefault(name, step)
    if missing:
        wanted = ", ".join(f'"{name}" ({step.name}, line {step.line})' for name, step in missing.items())
        word = "secrets are" if len(missing) > 1 else "secret is"
        raise CiError(
            f"{len(missing)} {word} not given: {wanted}",
            hint="--secret NAME=VALUE, --secret NAME for the value of $NAME, or --secret-file FILE",
            reference="missing-secret",
        )


def require_trust(selection: Selection) -> None:
    """Raises CiError for what a pipeline may only do that the person trusts: it reaches out of the containers."""
    for _, step in selection.containers():
        what = wants(step)
        if what:
            raise CiError(
                f"line {step.line}: {step.name} wants {what}",
                hint="--trusted allows it; read the pipeline first",
                reference="not-trusted",
            )


def _keep(wanted: dict[int, set[str]], found: Mapping[int, set[str]]) -> None:
    for number in wanted:
        wanted[number] &= found[number]


def _fitting(
    option: str, patterns: Sequence[str], stages: Sequence[StageSpec], *, services: bool
) -> dict[int, set[str]]:
    """The steps, and services where asked for, that a pattern at least fits, by the numbers of their Stages."""
    found: dict[int, set[str]] = {stage.number: set() for stage in stages}
    for pattern in patterns:
        fits = _glob(option, pattern)
        any_fits = False
        for stage in stages:
            for step in (*stage.steps, *(stage.services if services else ())):
                if any(fits(name) for name in (step.name, stage.name, f"{stage.name}/{step.name}")):
                    found[stage.number].add(step.name)
                    any_fits = True
        if not any_fits:
            known = {step.name for stage in stages for step in (*stage.steps, *(stage.services if services else ()))}
            titles = {stage.name for stage in stages}
            known |= titles if len(titles) > 1 else set()
            raise CiError(
                f"{option}: no step or stage is called {pattern!r}",
                hint=_near(pattern, known),
                reference="no-such-step",
            )
    return found


def _glob(option: str, pattern: str) -> Callable[[str], bool]:
    try:
        return Glob(pattern).matches
    except GlobError as error:
        raise CiError(f"{option}: {pattern!r}: {error}", reference="usage") from None


def _after(found: Mapping[int, set[str]], stages: Sequence[StageSpec]) -> dict[int, set[str]]:
    """What was found, with all that waits for it: steps of the same Stage, and whole Stages."""
    reached = {number: set(names) for number, names in found.items()}
    touched = {stage.name for stage in stages if found[stage.number]}
    moved = True
    while moved:  # documents and steps may be in any order
        moved = False
        for stage in stages:
            names = reached[stage.number]
            if any(name in touched for name in stage.depends_on) and not found[stage.number]:
                more = {step.name for step in stage.steps} - names
            else:
                more = {step.name for step in stage.steps if names & set(step.depends_on)} - names
            if more:
                names |= more
                touched.add(stage.name)
                moved = True
    return reached


def _cells(stages: Sequence[StageSpec], matrix: Mapping[str, str]) -> tuple[StageSpec, ...]:
    """The Stages of the wanted matrix cells; Stages without such an axis are kept."""
    is_open = any(stage.cells_from for stage in stages)  # what axes and values those have, nobody knows yet
    for axis, wanted in matrix.items() if not is_open else ():
        values = {stage.matrix[axis]: None for stage in stages if axis in stage.matrix}
        if not values:
            known = {name: None for stage in stages for name in stage.matrix}
            raise CiError(f"--matrix: no axis is called {axis!r}", hint=_near(axis, known), reference="unknown-axis")
        if wanted not in values:
            raise CiError(
                f"--matrix: {axis} is never {wanted!r}", hint=_near(wanted, values), reference="no-such-value"
            )
    return tuple(
        stage for stage in stages if all(stage.matrix.get(axis, value) == value for axis, value in matrix.items())
    )


def _near(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415

    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"there are: {', '.join(names[:20])}" if names else "there are none"
