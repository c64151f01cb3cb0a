"""Texts with `${{ … }}` in them: as values, where only `${NAME}` is replaced here, and as commands, where a shell does.

A secret or an output of a step that a command names becomes a variable of the step.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ci.pipeline.github.expressions import EXPRESSION, GITHUB, LITERALS, normalized

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ci.pipeline.nodes import Scalar
    from ci.pipeline.source import Position

# Variables that a runner of GitHub sets, and scripts use by themselves.
_VARIABLES = {
    "GITHUB_ACTOR": "CI_PIPELINE_AUTHOR",
    "GITHUB_BASE_REF": "CI_COMMIT_TARGET_BRANCH",
    "GITHUB_EVENT_NAME": "CI_PIPELINE_EVENT",
    "GITHUB_HEAD_REF": "CI_COMMIT_SOURCE_BRANCH",
    "GITHUB_OUTPUT": "CI_OUTPUT",
    "GITHUB_REF": "CI_COMMIT_REF",
    "GITHUB_REPOSITORY": "CI_REPO",
    "GITHUB_REPOSITORY_OWNER": "CI_REPO_OWNER",
    "GITHUB_RUN_ID": "CI_PIPELINE_NUMBER",
    "GITHUB_RUN_NUMBER": "CI_PIPELINE_NUMBER",
    "GITHUB_SERVER_URL": "CI_FORGE_URL",
    "GITHUB_SHA": "CI_COMMIT_SHA",
    "GITHUB_WORKSPACE": "CI_WORKSPACE",
}
_VARIABLE = re.compile(r"\b(?:GITHUB|RUNNER)_[A-Z_]+\b")
_STRING = re.compile(r"'((?:[^']|'')*)'")


@dataclass(slots=True)
class Texts:
    """Rewrites the texts of one job.

    `matrix` are our names of its axes, `known` the plain values of its environment, `outputs` our names of steps by
    their ids, `needs` our names of other jobs' outputs by theirs (`JOB.NAME`); `added` collects variables that commands
    need.
    """

    note: Callable[[Position, str], None]
    matrix: Mapping[str, str]
    known: Mapping[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    needs: Mapping[str, str] = field(default_factory=dict)
    added: dict[str, Any] = field(default_factory=dict)

    def value(self, scalar: Scalar) -> Any:
        """A value: a text, or a map that names a secret or an output."""
        text = scalar.value.strip()
        whole = EXPRESSION.fullmatch(text)
        if whole:
            name = normalized(whole[1].strip())
            if name.startswith("secrets."):
                return {"from_secret": name.removeprefix("secrets.")}
            if (output := self.output(name)) is not None:
                return {"from_output": output}
        return self._replaced(scalar, self._of_value, _escaped)

    def command(self, scalar: Scalar) -> str:
        """A script."""
        text = self._replaced(scalar, self._of_command, str)

        def renamed(match: re.Match[str]) -> str:
            if match[0] not in _VARIABLES:
                self.note(scalar.position, f"{match[0]} is not set here")
            return _VARIABLES.get(match[0], match[0])

        return _VARIABLE.sub(renamed, text)

    def _replaced(self, scalar: Scalar, replace: Callable[[str], str | None], literal: Callable[[str], str]) -> str:
        """The text with expressions replaced; what is none, or none that is known, is written by `literal`."""
        parts: list[str] = []
        last = 0
        for match in EXPRESSION.finditer(scalar.value):
            found = replace(normalized(match[1].strip()))
            if found is None:
                self.note(scalar.position, f"{match[0]} is not taken over")
            parts += (literal(scalar.value[last : match.start()]), literal(match[0]) if found is None else found)
            last = match.end()
        return "".join((*parts, literal(scalar.value[last:])))

    def _of_value(self, name: str) -> str | None:
        plain = self._plain(name)
        return plain if plain is not None else self.known.get(name.removeprefix("env.")) if "env." in name else None

    def _of_command(self, name: str) -> str | None:
        if (plain := self._plain(name)) is not None:
            return plain
        if name.startswith("env."):
            return f"${{{name.removeprefix('env.')}}}"
        if name == "github.ref_name":
            return "${CI_COMMIT_TAG:-$CI_COMMIT_BRANCH}"
        if name.startswith("secrets."):
            secret = name.removeprefix("secrets.")
            self.added[secret] = {"from_secret": secret}
            return f"${{{secret}}}"
        if (output := self.output(name)) is not None:
            variable = re.sub(r"\W", "_", output).upper()
            self.added[variable] = {"from_output": output}
            return f"${{{variable}}}"
        return None

    def _plain(self, name: str) -> str | None:
        """What is the same in values and commands."""
        if name in GITHUB:
            return f"${{{GITHUB[name]}}}"
        if name in LITERALS:
            return LITERALS[name]
        if name.startswith("matrix.") and name.removeprefix("matrix.") in self.matrix:
            return f"${{{self.matrix[name.removeprefix('matrix.')]}}}"
        string = _STRING.fullmatch(name)
        return string[1].replace("''", "'") if string else None

    def output(self, name: str) -> str | None:
        """`steps.ID.outputs.NAME` as `step.name`, and `needs.JOB.outputs.NAME` as `stage/step.name`."""
        parts = name.split(".")
        if len(parts) != 4 or parts[2] != "outputs":
            return None
        if parts[0] == "steps" and parts[1] in self.outputs:
            return f"{self.outputs[parts[1]]}.{parts[3]}"
        return self.needs.get(f"{parts[1]}.{parts[3]}") if parts[0] == "needs" else None


def _escaped(text: str) -> str:
    """A text that stays what it is in a value of ours."""
    return text.replace("$$", "$$$$").replace("${", "$${")
