"""What the options of `ci-run local` choose: Stages and steps, variables, secrets. Pure.

Everything that does not fit the pipeline is said before anything runs: a step, a matrix value or a secret that is not
there is most often a misspelling.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ci.errors import CiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ci.pipeline.spec import StageSpec, StepSpec

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "$": "$", "\n": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The Stages to run, and the names of steps and services that are left out of them."""

    stages: tuple[StageSpec, ...]
    excluded: frozenset[str] = frozenset()

    def containers(self) -> Iterator[tuple[StageSpec, StepSpec]]:
        """Every step and service that may run, with its Stage."""
        for stage in self.stages:
            for step in (*stage.services, *stage.steps):
                if step.name not in self.excluded:
                    yield stage, step

    def images(self) -> dict[str, StepSpec]:
        """The images that are needed, each with the first step that needs it."""
        found: dict[str, StepSpec] = {}
        for _, step in self.containers():
            found.setdefault(step.image, step)
        return found


def select(
    stages: Sequence[StageSpec],
    *,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    matrix: Mapping[str, str] | None = None,
) -> Selection:
    """Choose. Stages that nothing is left of are dropped. Raises CiError for names and values that are not there."""
    chosen = _cells(stages, matrix or {})
    names = {step.name for stage in chosen for step in stage.steps}
    services = {service.name for stage in chosen for service in stage.services}
    for option, given, known in (("--only", only, names), ("--skip", skip, names | services)):
        for name in given:
            if name not in known:
                raise CiError(
                    f"{option}: no step is called {name!r}", hint=_near(name, known), reference="no-such-step"
                )
    excluded = frozenset(skip) | (names - set(only) if only else frozenset())
    left = tuple(stage for stage in chosen if any(step.name not in excluded for step in stage.steps))
    present = {stage.name for stage in left}
    kept = tuple(
        replace(stage, depends_on=tuple(name for name in stage.depends_on if name in present)) for stage in left
    )
    return Selection(stages=kept, excluded=excluded)


def require_secrets(selection: Selection, given: Mapping[str, str]) -> None:
    """Raises CiError that names every secret which a step wants and nobody gave."""
    missing: dict[str, StepSpec] = {}
    for _, step in selection.containers():
        for name in step.secrets.values():
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
        what = "privileged" if step.privileged else ""
        what = what or next((f"the host's folder {mount.host}" for mount in step.volumes if mount.host), "")
        if what:
            raise CiError(
                f"line {step.line}: {step.name} wants {what}",
                hint="--trusted allows it; read the pipeline first",
                reference="not-trusted",
            )


def assignments(option: str, given: Iterable[str], pattern: re.Pattern[str] = _NAME) -> dict[str, str]:
    """NAME=VALUE arguments, the last of a name counting. Raises CiError."""
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not pattern.fullmatch(name):
            raise CiError(f"{option}: {text!r} is not NAME=VALUE", reference="usage")
        found[name] = value
    return found


def secrets(
    given: Iterable[str], files: Iterable[str], *, environment: Mapping[str, str], read: Callable[[str], str]
) -> dict[str, str]:
    """The secrets' values by name: from files, then from NAME=VALUE or NAME (then $NAME), which count more.

    `read` gives a file's text. Raises CiError, which never holds a value.
    """
    found: dict[str, str] = {}
    for file in files:
        found |= dotenv(read(file), file)
    for text in given:
        name, equals, value = text.partition("=")
        if not _SECRET.fullmatch(name):
            raise CiError("--secret: the name before the = is malformed", hint="NAME=VALUE, or NAME", reference="usage")
        if not equals and name not in environment:
            raise CiError(f"--secret {name}: there is no ${name} in the environment", reference="usage")
        found[name] = value if equals else environment[name]
    return found


def dotenv(text: str, filename: str) -> dict[str, str]:
    """NAME=VALUE lines, as common .env files have them.

    `export` before the name, comments, empty lines; values bare (a comment after a blank ends them), in single quotes
    (as they are) or in double quotes (with backslash escapes); quoted ones may go over several lines. Nothing is
    substituted: a secret with a `$` in it is left alone. Raises CiError with file and line, never with the value.
    """
    found: dict[str, str] = {}
    at = 0
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        line = text[at:end].strip()
        if line and not line.startswith("#"):
            number = text.count("\n", 0, at) + 1
            name, equals, _ = text[at:end].partition("=")
            name = name.strip().removeprefix("export ").strip()
            if not equals or not _SECRET.fullmatch(name):
                raise CiError(f"{filename}:{number}: not a line NAME=VALUE", reference="bad-secret-file")
            found[name], end = _value(text, text.index("=", at) + 1, end, f"{filename}:{number}")
        at = end + 1
    return found


def _value(text: str, at: int, end: int, where: str) -> tuple[str, int]:
    """The value that begins at `at`, and where its (last) line ends."""
    while text[at:end].startswith((" ", "\t")):
        at += 1
    quote = text[at : at + 1]
    if quote not in ("'", '"'):
        value = text[at:end]
        comment = re.search(r"(^|\s)#", value)
        return (value[: comment.start()] if comment else value).strip(), end
    characters, position = [], at + 1
    while position < len(text) and text[position] != quote:
        character = text[position]
        if quote == '"' and character == "\\" and position + 1 < len(text):
            position += 1
            character = _ESCAPES.get(text[position], "\\" + text[position])
        characters.append(character)
        position += 1
    if position >= len(text):
        raise CiError(f"{where}: the quote {quote} is not closed", reference="bad-secret-file")
    end = text.find("\n", position)
    return "".join(characters), len(text) if end < 0 else end


def _cells(stages: Sequence[StageSpec], matrix: Mapping[str, str]) -> tuple[StageSpec, ...]:
    """The Stages of the wanted matrix cells; Stages without such an axis are kept."""
    for axis, wanted in matrix.items():
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
