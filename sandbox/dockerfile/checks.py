"""Runs the build checks on a file: what docker calls `docker build --check`.

Rules look at one instruction, one stage or the whole file; those about variables are in `variable_checks`. All go by
docker's documentation of each rule. `# check=` in the file, or the options that a caller gives instead, say which are
left out.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING

from sandbox.dockerfile import instructions as records
from sandbox.dockerfile.diagnostics import Report
from sandbox.dockerfile.ports import split_port
from sandbox.dockerfile.rules import EXPERIMENTAL, RESERVED_STAGES, Rule
from sandbox.dockerfile.source import Span
from sandbox.dockerfile.variable_checks import check_variables
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sandbox.dockerfile.diagnostics import Diagnostic
    from sandbox.dockerfile.directives import CheckOptions
    from sandbox.dockerfile.ignorefile import IgnorePatterns
    from sandbox.dockerfile.instructions import BuildStage, Instruction
    from sandbox.dockerfile.parsing import Dockerfile

Finding = tuple[Rule, Span, str]
_WORDS = "apikey|auth|credential|credentials|key|password|pword|passwd|secret|token"
_SECRET = re.compile(rf"(?:_|^)(?:{_WORDS})(?:_|$)", re.IGNORECASE)
_PUBLIC = re.compile(r"(?:_|^)(?:public|cookie)(?:_|$)", re.IGNORECASE)
_ONCE = ("CMD", "ENTRYPOINT", "HEALTHCHECK")


class BasePlatform(NamedTuple):
    """The base image of a stage: its name, the platform that it is for, and the one that is built for."""

    image: str
    actual: str
    expected: str


def check(
    dockerfile: Dockerfile,
    *,
    environment: Callable[[str], Mapping[str, str] | None],
    base_platforms: Mapping[int, BasePlatform] = MappingProxyType({}),
    ignore: IgnorePatterns | None = None,
    options: CheckOptions | None = None,
) -> tuple[Diagnostic, ...]:
    """The findings of all checks that are not left out, in the order of the file.

    `environment` gives the variables of an image, None where that is not known; `base_platforms` are those of stages,
    by their numbers, as far as they are known; `ignore` are the context's patterns.
    """
    options = options or dockerfile.directives.check
    report = Report()
    for rule, span, message in (*_all(dockerfile, environment, ignore), *_platforms(dockerfile, base_platforms)):
        if _is_on(rule, options):
            report.warning(rule, span, message)
    return report.diagnostics


def _is_on(rule: Rule, options: CheckOptions) -> bool:
    if rule in EXPERIMENTAL:
        return bool({"all", rule} & options.experimental)
    return not {"all", rule} & options.skip


def _all(
    dockerfile: Dockerfile,
    environment: Callable[[str], Mapping[str, str] | None],
    ignore: IgnorePatterns | None,
) -> Iterator[Finding]:
    for line in dockerfile.empty_continuations:
        yield Rule.NO_EMPTY_CONTINUATION, Span(line, 1, line, 1), "Empty continuation line"
    yield from _casing(dockerfile)
    yield from _stage_names(dockerfile.stages)
    shells: dict[str, bool] = {}
    workdirs: dict[str, bool] = {}
    for argument in dockerfile.global_args:
        yield from _one(argument, ignore)
    for stage in dockerfile.stages:
        yield from _from(stage.base)
        for instruction in stage.instructions:
            yield from _one(instruction, ignore)
        yield from _stage(stage, shells, workdirs)
    yield from check_variables(dockerfile, environment)


def _platforms(dockerfile: Dockerfile, known: Mapping[int, BasePlatform]) -> Iterator[Finding]:
    for stage in dockerfile.stages:
        found = known.get(stage.number)
        if found is not None and found.actual != found.expected:
            message = f'Base image {found.image} was pulled with platform "{found.actual}", expected "{found.expected}"'
            yield Rule.INVALID_BASE_IMAGE_PLATFORM, stage.base.span, f"{message} for current build"


def _instructions(dockerfile: Dockerfile) -> Iterator[Instruction]:
    yield from dockerfile.global_args
    for stage in dockerfile.stages:
        yield stage.base
        yield from stage.instructions


def _casing(dockerfile: Dockerfile) -> Iterator[Finding]:
    """All keywords as most are: in capitals, or all in small letters."""
    keywords = [(one.keyword, one.span) for one in _instructions(dockerfile)]
    lower = sum(keyword.islower() for keyword, _ in keywords)
    upper = sum(keyword.isupper() for keyword, _ in keywords)
    majority = "lowercase" if lower > upper else "uppercase"
    for keyword, span in keywords:
        if not (keyword.islower() if lower > upper else keyword.isupper()):
            message = f"Command '{keyword}' should match the case of the command majority ({majority})"
            yield Rule.CONSISTENT_INSTRUCTION_CASING, span, message


def _stage_names(stages: tuple[BuildStage, ...]) -> Iterator[Finding]:
    seen: set[str] = set()
    for stage in stages:
        base = stage.base
        if not base.alias:
            continue
        if base.alias in RESERVED_STAGES:
            message = f'Stage name should not use the same name as reserved stage "{base.alias}"'
            yield Rule.RESERVED_STAGE_NAME, base.span, message
        if base.alias in seen:
            message = f'Duplicate stage name "{base.alias_written}", stage names should be unique'
            yield Rule.DUPLICATE_STAGE_NAME, base.span, message
        seen.add(base.alias)


def _from(base: records.From) -> Iterator[Finding]:
    if base.alias_written != base.alias:
        yield Rule.STAGE_NAME_CASING, base.span, f"Stage name '{base.alias_written}' should be lowercase"
    if base.as_keyword and base.as_keyword.islower() != base.keyword.islower():
        message = f"'{base.as_keyword}' and '{base.keyword}' keywords' casing do not match"
        yield Rule.FROM_AS_CASING, base.span, message
    if base.platform in ("$TARGETPLATFORM", "${TARGETPLATFORM}"):
        message = f"Setting platform to predefined {base.platform} in FROM is redundant as this is the default behavior"
        yield Rule.REDUNDANT_TARGET_PLATFORM, base.span, message
    elif base.platform and "$" not in base.platform and base.alias not in base.platform.split("/"):
        message = f'FROM --platform flag should not use constant value "{base.platform}"'
        yield Rule.FROM_PLATFORM_FLAG_CONST_DISALLOWED, base.span, message
    yield from _description(base, (base.alias,) if base.alias else (), "base", "FROM")


def _description(instruction: Instruction, names: tuple[str, ...], placeholder: str, keyword: str) -> Iterator[Finding]:
    """A comment directly above describes the stage or argument, and begins with its name."""
    if not instruction.comments or not names:
        return
    if not any(comment.startswith(f"{name} ") for comment in instruction.comments for name in names):
        name = names[0] if len(names) == 1 else placeholder
        message = f"Comment for {keyword} should follow the format: `# {name} <description>`"
        yield Rule.INVALID_DEFINITION_DESCRIPTION, instruction.span, message


def _one(instruction: Instruction, ignore: IgnorePatterns | None) -> Iterator[Finding]:
    span = instruction.span
    if isinstance(instruction, records.OnBuild):
        yield from _one(instruction.instruction, ignore)
    elif isinstance(instruction, records.Maintainer):
        yield Rule.MAINTAINER_DEPRECATED, span, "Maintainer instruction is deprecated in favor of using label"
    elif isinstance(instruction, records.Pairs):
        if instruction.legacy:
            name = instruction.name
            message = f'"{name} key=value" should be used instead of legacy "{name} key value" format'
            yield Rule.LEGACY_KEY_VALUE_FORMAT, span, message
        if isinstance(instruction, records.Env):
            yield from _secrets("ENV", [name for name, _ in instruction.pairs], span)
    elif isinstance(instruction, records.Arg):
        names = tuple(name for name, _ in instruction.definitions)
        yield from _secrets("ARG", names, span)
        yield from _description(instruction, names, "<arg_key>", "ARG")
    elif isinstance(instruction, records.Expose):
        yield from _ports(instruction)
    elif isinstance(instruction, records.Transfer) and ignore is not None:
        yield from _ignored(instruction, ignore)


def _secrets(keyword: str, names: list[str] | tuple[str, ...], span: Span) -> Iterator[Finding]:
    for name in names:
        if _SECRET.search(name) and not _PUBLIC.search(name):
            message = f'Do not use ARG or ENV instructions for sensitive data ({keyword} "{name}")'
            yield Rule.SECRETS_USED_IN_ARG_OR_ENV, span, message


def _ports(instruction: records.Expose) -> Iterator[Finding]:
    for text in instruction.ports:
        host, _, protocol = split_port(text)
        if protocol != protocol.lower():
            message = f"Defined protocol '{text}' in EXPOSE instruction should be lowercase"
            yield Rule.EXPOSE_PROTO_CASING, instruction.span, message
        if host and "$" not in text:
            message = f"EXPOSE instruction should not define an IP address or host-port mapping, found '{text}'"
            yield Rule.EXPOSE_INVALID_FORMAT, instruction.span, message


def _ignored(instruction: records.Transfer, ignore: IgnorePatterns) -> Iterator[Finding]:
    if isinstance(instruction, records.Copy) and instruction.origin:
        return
    for source in instruction.sources:
        path = source.removeprefix("./").strip("/")
        if path not in ("", ".") and "$" not in path and "://" not in path and ignore.ignores(path):
            verb = "Copy" if isinstance(instruction, records.Copy) else "Add"
            message = f'Attempting to {verb} file "{source}" that is excluded by .dockerignore'
            yield Rule.COPY_IGNORED_FILE, instruction.span, message


def _stage(stage: BuildStage, shells: dict[str, bool], workdirs: dict[str, bool]) -> Iterator[Finding]:
    """What depends on the instructions before: a stage on another has its shell and its working directory."""
    base = stage.base.image.lower()
    shell, workdir = shells.get(base, False), workdirs.get(base, False)
    seen: dict[str, Span] = {}
    for instruction in stage.instructions:
        if isinstance(instruction, records.Shell):
            shell = True
        elif isinstance(instruction, records.Workdir):
            absolute = instruction.path.strip("'\"").startswith(("/", "$"))
            if not absolute and not workdir:
                message = f'Relative workdir "{instruction.path}" can have unexpected results if the base image changes'
                yield Rule.WORKDIR_RELATIVE_PATH, instruction.span, message
            workdir = workdir or absolute
        elif isinstance(instruction, records.Cmd | records.Entrypoint) and instruction.command.in_shell and not shell:
            name = instruction.name
            message = f"JSON arguments recommended for {name} to prevent unintended behavior related to OS signals"
            yield Rule.JSON_ARGS_RECOMMENDED, instruction.span, message
        if instruction.name in _ONCE:
            if instruction.name in seen:
                message = (
                    f"Multiple {instruction.name} instructions should not be used in the same stage "
                    "because only the last one will be used"
                )
                yield Rule.MULTIPLE_INSTRUCTIONS_DISALLOWED, seen[instruction.name], message
            seen[instruction.name] = instruction.span
    for name in (stage.base.alias, str(stage.number)):
        if name:
            shells[name], workdirs[name] = shell, workdir
