"""The build checks about variables: UndefinedVar, UndefinedArgInFrom, InvalidDefaultArgInFrom.

They follow the arguments and variables of each stage as a build would, without their values mattering. Where the base
image's variables are not known, a variable counts as undefined only if it looks like a misspelling of a known one: the
image may have any other.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sandbox.dockerfile import instructions as records
from sandbox.dockerfile.diagnostics import closest
from sandbox.dockerfile.rules import Rule
from sandbox.dockerfile.words import WordError, WordRules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from sandbox.dockerfile.instructions import Instruction
    from sandbox.dockerfile.parsing import Dockerfile
    from sandbox.dockerfile.source import Span

_PARTS = ("PLATFORM", "OS", "ARCH", "VARIANT", "OSVERSION")
_PLATFORMS = {f"{kind}{part}": "linux" for kind in ("BUILD", "TARGET") for part in _PARTS}
_IMAGE = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]*(?::[0-9]+)?(?:/[a-z0-9._-]+)*(?::[A-Za-z0-9_][A-Za-z0-9._-]*)?(?:@[a-z0-9:]+)?"
)
_PATH = {"PATH": "/bin"}  # every build has one


class _Scope:
    """The names known at a point of a stage; `complete` says that no others can be."""

    def __init__(self, names: Iterable[str], *, complete: bool) -> None:
        self.names = set(names)
        self.complete = complete


def check_variables(
    dockerfile: Dockerfile, environment: Callable[[str], Mapping[str, str] | None]
) -> Iterator[tuple[Rule, Span, str]]:
    """The findings of the three rules."""
    rules = WordRules(escape=dockerfile.directives.escape)
    values = dict(_PLATFORMS)
    declared = set(_PLATFORMS)
    for argument in dockerfile.global_args:
        for name, default in argument.definitions:
            declared.add(name)
            if default is not None:
                values[name] = _expand(rules, default, values)
    scopes: dict[str, _Scope] = {}
    for stage in dockerfile.stages:
        yield from _from(stage.base, rules, values, declared)
        scope = _base_scope(_expand(rules, stage.base.image, values), scopes, environment)
        for instruction in stage.instructions:
            yield from _undefined(instruction, rules, scope)
            if isinstance(instruction, records.Arg):
                scope.names.update(name for name, _ in instruction.definitions)
            elif isinstance(instruction, records.Env):
                scope.names.update(name for name, _ in instruction.pairs)
        for name in (stage.base.alias, str(stage.number)):
            scopes[name] = scope


def _from(
    base: records.From, rules: WordRules, values: Mapping[str, str], declared: set[str]
) -> Iterator[tuple[Rule, Span, str]]:
    used: set[str] = set()
    for text in (base.image, base.platform):
        missing = _missing(rules, text, dict.fromkeys(declared, "x"))
        used |= _found(rules, text, dict.fromkeys(declared, "x"))
        for name in sorted(missing):
            hint = closest(name, declared)
            message = f"FROM argument '{name}' is not declared" + (f" (did you mean {hint}?)" if hint else "")
            yield Rule.UNDEFINED_ARG_IN_FROM, base.span, message
    if used - set(_PLATFORMS) and not _IMAGE.fullmatch(_expand(rules, base.image, values)):
        message = f"Default value for ARG {base.image} results in empty or invalid base image name"
        yield Rule.INVALID_DEFAULT_ARG_IN_FROM, base.span, message


def _base_scope(
    image: str,
    scopes: Mapping[str, _Scope],
    environment: Callable[[str], Mapping[str, str] | None],
) -> _Scope:
    parent = scopes.get(image.lower())
    if parent is not None:
        return _Scope(parent.names, complete=parent.complete)
    known = _PATH if image.lower() == "scratch" else environment(image)
    return _Scope({*_PATH, *(known or ())}, complete=known is not None)


def _undefined(instruction: Instruction, rules: WordRules, scope: _Scope) -> Iterator[tuple[Rule, Span, str]]:
    known = dict.fromkeys(scope.names, "x")
    for name in sorted(set().union(*(_missing(rules, text, known) for text in _texts(instruction)), set())):
        hint = closest(name, scope.names)
        if scope.complete or hint:
            message = f"Usage of undefined variable '${name}'" + (f" (did you mean ${hint}?)" if hint else "")
            yield Rule.UNDEFINED_VAR, instruction.span, message


def _texts(instruction: Instruction) -> Iterator[str]:
    """The words in which a build replaces variables: not those of commands, whose shell does."""
    if isinstance(instruction, records.Pairs):
        for name, value in instruction.pairs:
            yield from (name, value)
    elif isinstance(instruction, records.Transfer):
        yield from (*instruction.sources, instruction.destination, instruction.chown, instruction.chmod)
        if isinstance(instruction, records.Copy):
            yield instruction.origin
    elif isinstance(instruction, records.Arg):
        yield from (default for _, default in instruction.definitions if default is not None)
    elif isinstance(instruction, records.Run):
        yield from instruction.mounts
    elif isinstance(instruction, records.User):
        yield instruction.user
    elif isinstance(instruction, records.Workdir):
        yield instruction.path
    elif isinstance(instruction, records.StopSignal):
        yield instruction.signal
    elif isinstance(instruction, records.Volume):
        yield from instruction.paths
    elif isinstance(instruction, records.Expose):
        yield from instruction.ports


def _missing(rules: WordRules, text: str, known: Mapping[str, str]) -> frozenset[str]:
    """Names that are used without a default: `${name:-word}` may well be unset."""
    bare = re.sub(r"\$\{\w+:?[-+?]", "${PATH:-", text)
    try:
        return rules.expand(bare, {"PATH": "x", **known}).missing
    except WordError:
        return frozenset()


def _found(rules: WordRules, text: str, known: Mapping[str, str]) -> frozenset[str]:
    try:
        return rules.expand(text, known).found
    except WordError:
        return frozenset()


def _expand(rules: WordRules, text: str, values: Mapping[str, str]) -> str:
    try:
        return rules.expand(text, values).text
    except WordError:
        return ""
