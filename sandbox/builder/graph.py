"""Stages → which of them a target needs, and what each depends on. Pure.

A stage depends on the one that its FROM names and on those of its `COPY --from` and `RUN --mount=from=`, and of what
the one below has in ONBUILD. What is not
reached from the target is not built, and its images need not exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.builder.scope import global_scope, platform_args
from sandbox.dockerfile.diagnostics import Mistake, did_you_mean
from sandbox.dockerfile.expansion import Expander
from sandbox.dockerfile.instructions import Copy, OnBuild, Run
from sandbox.dockerfile.mounts import MountError, parse_mount
from sandbox.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

    from sandbox.dockerfile.instructions import BuildStage, Instruction
    from sandbox.dockerfile.parsing import Dockerfile
    from sandbox.image.platform import Platform

SCRATCH = "scratch"


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    """A stage to be built: on an image (its name, or `scratch`), or on the stage with the number `parent`."""

    stage: BuildStage
    image: str
    parent: int | None
    platform: str
    needs: tuple[int, ...]  # numbers of other stages, the parent too


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPlan:
    """What is to be built: the values of the global arguments, and the stages in order, the target last."""

    values: Mapping[str, str]
    stages: tuple[StagePlan, ...]


def plan_build(
    dockerfile: Dockerfile,
    build_args: Mapping[str, str],
    platform: Platform,
    target: str = "",
    contexts: Container[str] = (),
    build_platform: Platform | None = None,
) -> BuildPlan:
    """The stages that `target` (a name or number; empty: the last) needs, in an order in which they can be built.

    `contexts` are names that mean something else than a stage or an image. `build_platform` is this machine's, where
    `platform` is another one.

    Raises InvalidError for an unknown target, and for words of ARG and FROM that cannot be read or name nothing.
    """
    expander = Expander(dockerfile.directives.escape)
    values = platform_args(build_platform or platform, platform)
    for argument in dockerfile.global_args:
        try:
            values = global_scope(argument, build_args, values, expander)
        except Mistake as mistake:
            raise dockerfile.mistaken(argument, mistake) from None
    return BuildPlan(values=values, stages=_needed(dockerfile, values, expander, target, contexts))


def _needed(
    dockerfile: Dockerfile, values: Mapping[str, str], expander: Expander, target: str, contexts: Container[str]
) -> tuple[StagePlan, ...]:
    stages = dockerfile.stages
    plans = []
    for stage in stages:
        try:
            plans.append(_plan(stages, stage, values, expander, contexts))
        except Mistake as mistake:
            raise dockerfile.mistaken(stage.base, mistake) from None
    wanted = _target(stages, target)
    needed: set[int] = set()
    waiting = [wanted]
    while waiting:
        number = waiting.pop()
        if number not in needed:
            needed.add(number)
            waiting += plans[number].needs
    for number in needed:
        _check_order(stages, stages[number], contexts)
    return tuple(plans[number] for number in sorted(needed))


def find_stage(stages: tuple[BuildStage, ...], name: str, before: int) -> int | None:
    """The number of the earlier stage that a name or number means; the last one of a name, as docker has it."""
    for stage in reversed(stages[:before]):
        if stage.base.alias and stage.base.alias == name.lower():
            return stage.number
    if name.isascii() and name.isdecimal() and len(name) < 6 and int(name) < before:
        return int(name)
    return None


def origins(instructions: Iterable[Instruction]) -> tuple[str, ...]:
    """What files are taken from by `--from` and `from=`, as written; ONBUILD's are for others."""
    names = []
    for instruction in instructions:
        if isinstance(instruction, Copy) and instruction.origin:
            names.append(instruction.origin)
        elif isinstance(instruction, Run):
            names += [origin for text in instruction.mounts if (origin := _mount_origin(text))]
    return tuple(names)


def _mount_origin(text: str) -> str:
    try:
        return parse_mount(text, lambda value: value).origin
    except MountError:  # a variable in another option, or a mistake that the build will tell
        fields = (field.partition("=") for field in text.split(","))
        return next((value for key, _, value in fields if key == "from"), "")


def _plan(
    stages: tuple[BuildStage, ...],
    stage: BuildStage,
    values: Mapping[str, str],
    expander: Expander,
    contexts: Container[str],
) -> StagePlan:
    image = expander.word(stage.base.image, values)
    if not image:
        hint = did_you_mean(stage.base.image.strip("${}"), values)
        raise InvalidError(
            f"FROM in line {stage.base.span.line} names no image: {stage.base.image!r} is empty", hint=hint
        )
    elsewhere = image.lower() in contexts or image.lower() == SCRATCH or image.isdecimal()
    parent = None if elsewhere else find_stage(stages, image, stage.number)
    needs = {parent} if parent is not None else set()
    for name in origins((*_triggers(stages, parent), *stage.instructions)):
        if name.lower() in contexts:
            continue
        number = find_stage(stages, name, stage.number)
        if number is not None:
            needs.add(number)
        elif name.lower() == stage.base.alias or name == str(stage.number):
            raise InvalidError(f"stage {name!r} takes files from itself (line {stage.base.span.line})")
    return StagePlan(
        stage=stage,
        image="" if parent is not None else image,
        parent=parent,
        platform=expander.word(stage.base.platform, values),
        needs=tuple(sorted(needs)),
    )


def _check_order(stages: tuple[BuildStage, ...], stage: BuildStage, contexts: Container[str]) -> None:
    """Files come from earlier stages alone; FROM of a later one's name is an image, as docker has it."""
    for name in origins(stage.instructions):
        if name.lower() in contexts or find_stage(stages, name, stage.number) is not None:
            continue
        later = find_stage(stages, name, len(stages))
        if later is not None:
            raise InvalidError(
                f"stage {stage.name!r} takes files from {name!r}, which is defined after it, in line "
                f"{stages[later].base.span.line}",
                hint="move it up",
            )


def _triggers(stages: tuple[BuildStage, ...], parent: int | None) -> Iterator[Instruction]:
    """What ONBUILD of the stage below adds; that of an image is not known yet."""
    for instruction in stages[parent].instructions if parent is not None else ():
        if isinstance(instruction, OnBuild):
            yield instruction.instruction


def _target(stages: tuple[BuildStage, ...], target: str) -> int:
    if not target:
        return len(stages) - 1
    number = find_stage(stages, target, len(stages))
    if number is None:
        names = [stage.base.alias for stage in stages if stage.base.alias]
        hint = did_you_mean(target, names) or (f"there are {', '.join(names)}" if names else "no stage has a name")
        raise InvalidError(f"target stage {target!r} could not be found", hint=hint)
    return number
