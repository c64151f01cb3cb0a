"""Expressions of GitHub Actions: contexts as our variables, and `if` as an expression of `when.evaluate`.

GitHub's language (docs.github.com, "Expressions") has few operators, and all of them are in ours; its functions are
`contains`, `startsWith` and `endsWith`, which are operators here, and those of the status, which `when.status` says.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)

# What the fields of the context `github` are here. Those of no event are left out: they are noted.
GITHUB: Mapping[str, str] = {
    "github.actor": "CI_PIPELINE_AUTHOR",
    "github.base_ref": "CI_COMMIT_TARGET_BRANCH",
    "github.event.head_commit.message": "CI_COMMIT_MESSAGE",
    "github.event.number": "CI_COMMIT_PULL_REQUEST",
    "github.event.pull_request.base.ref": "CI_COMMIT_TARGET_BRANCH",
    "github.event.pull_request.draft": "CI_COMMIT_PULL_REQUEST_DRAFT",
    "github.event.pull_request.head.ref": "CI_COMMIT_SOURCE_BRANCH",
    "github.event.pull_request.head.sha": "CI_COMMIT_SHA",
    "github.event.pull_request.number": "CI_COMMIT_PULL_REQUEST",
    "github.event.release.tag_name": "CI_COMMIT_TAG",
    "github.event.repository.default_branch": "CI_REPO_DEFAULT_BRANCH",
    "github.event_name": "CI_PIPELINE_EVENT",
    "github.head_ref": "CI_COMMIT_SOURCE_BRANCH",
    "github.job": "CI_WORKFLOW_NAME",
    "github.ref": "CI_COMMIT_REF",
    "github.repository": "CI_REPO",
    "github.repository_owner": "CI_REPO_OWNER",
    "github.run_id": "CI_PIPELINE_NUMBER",
    "github.run_number": "CI_PIPELINE_NUMBER",
    "github.server_url": "CI_FORGE_URL",
    "github.sha": "CI_COMMIT_SHA",
    "github.workspace": "CI_WORKSPACE",
    "runner.workspace": "CI_WORKSPACE",
}
LITERALS: Mapping[str, str] = {"runner.os": "Linux", "runner.arch": "X64", "runner.temp": "/tmp"}  # noqa: S108
# The events by GitHub's names; a pushed tag is an event of its own here.
EVENTS: Mapping[str, tuple[str, ...]] = {
    "push": ("push", "tag"),
    "pull_request": ("pull_request",),
    "pull_request_target": ("pull_request",),
    "release": ("release",),
    "deployment": ("deployment",),
    "schedule": ("cron",),
    "workflow_dispatch": ("manual",),
}

_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^']|'')*')|(?P<number>-?\d+(?:\.\d+)?)|(?P<operator>==|!=|<=|>=|&&|\|\||[!<>(),])"
    r"|(?P<name>[A-Za-z_][\w-]*(?:\.[\w*-]+|\['[^']*'\])*))"
)
_OPERATORS = {"contains": "contains", "startsWith": "startsWith", "endsWith": "endsWith"}
_STATUS = {"always": ("success", "failure"), "failure": ("failure",), "success": ("success",)}


class UnsupportedError(ValueError):
    """An expression without a counterpart; the message says which part."""


class Condition(NamedTuple):
    """An `if`: an expression for `evaluate` (empty: always), and the status (empty: the usual)."""

    evaluate: str = ""
    status: tuple[str, ...] = ()


def normalized(name: str) -> str:
    """`matrix['node-version']` as `matrix.node-version`."""
    return re.sub(r"\['([^']*)'\]", r".\1", name)


def condition(text: str, matrix: Mapping[str, str]) -> Condition:
    """An `if`, with or without `${{ }}`. `matrix` are our names of its axes. Raises UnsupportedError."""
    inner = EXPRESSION.fullmatch(text.strip())
    parser = _Parser(inner[1] if inner else text, matrix)
    evaluate = parser.whole()
    return Condition(evaluate, parser.status)


class _Parser:
    """Reads one expression and writes it in our language."""

    def __init__(self, text: str, matrix: Mapping[str, str]) -> None:
        self.matrix = matrix
        self.status: tuple[str, ...] = ()
        self.tokens: list[tuple[str, str]] = []
        at = 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if match is None:
                raise UnsupportedError(text[at:].strip()[:40])
            self.tokens.append((match.lastgroup or "", match[match.lastgroup or 0]))
            at = match.end()

    def whole(self) -> str:
        """All of it: parts that must all hold, of which some only say the status."""
        if self._is_any_status():
            self.status = _STATUS["always"]
            return ""
        parts = [self._part()]
        while self._take("&&"):
            parts.append(self._part())
        if self._next() == "||":
            rest = " && ".join(part for part in parts if part)
            if self.status or not rest:
                raise UnsupportedError("a status in one of several alternatives")
            while self._take("||"):
                rest += f" || {self._and()}"
            parts = [rest]
        if self.tokens:
            raise UnsupportedError(self.tokens[0][1])
        found = [part for part in parts if part]
        return " && ".join(f"({part})" if " || " in part and len(found) > 1 else part for part in found)

    def _is_any_status(self) -> bool:
        words = "".join(value for _, value in self.tokens)
        return words in {"success()||failure()", "failure()||success()", "!cancelled()"}

    def _part(self) -> str:
        """One of the outermost parts; empty where it says a status."""
        words = "".join(value for _, value in self.tokens[:4])
        if words.startswith("!cancelled()"):
            del self.tokens[:4]
            self.status = _STATUS["always"]
            return ""
        name = self.tokens[0][1] if self.tokens else ""
        if name in _STATUS and words.startswith(f"{name}()"):
            del self.tokens[:3]
            self.status = _STATUS[name] if name != "success" else self.status
            return ""
        return self._comparison()

    def _or(self) -> str:
        left = self._and()
        while self._take("||"):
            left += f" || {self._and()}"
        return left

    def _and(self) -> str:
        left = self._comparison()
        while self._take("&&"):
            left += f" && {self._comparison()}"
        return left

    def _comparison(self) -> str:
        left, kind = self._primary()
        operator = self._next()
        if operator not in {"==", "!=", "<", ">", "<=", ">="}:
            return left if kind != "name" else f'({left} ?? "") not in ["", "false"]'
        del self.tokens[0]
        right, right_kind = self._primary()
        if {kind, right_kind} == {"boolean", "name"}:  # every variable is a string here
            left, right = (f'"{part}"' if part in {"true", "false"} else part for part in (left, right))
        for name, value in ((left, right), (right, left)):
            if name == "CI_PIPELINE_EVENT" and value.startswith('"'):
                return self._event(json.loads(value), operator)
        return f"{left} {operator} {right}"

    def _event(self, name: str, operator: str) -> str:
        if name not in EVENTS or operator not in {"==", "!="}:
            raise UnsupportedError(f"the event {name}")
        events = EVENTS[name]
        if len(events) == 1:
            return f'CI_PIPELINE_EVENT {operator} "{events[0]}"'
        return f"CI_PIPELINE_EVENT {'in' if operator == '==' else 'not in'} {json.dumps(events)}"

    def _primary(self) -> tuple[str, str]:
        """One operand, and its kind."""
        if not self.tokens:
            raise UnsupportedError("it ends too early")
        kind, value = self.tokens.pop(0)
        if kind == "operator":
            return self._grouped(value), "expression"
        if kind == "string":
            return json.dumps(value[1:-1].replace("''", "'"), ensure_ascii=False), kind
        if value in {"true", "false"}:
            return value, "boolean"
        if kind == "name" and self._next() == "(":
            return self._call(value), "expression"
        return (self._name(normalized(value)) if kind == "name" else value), kind

    def _grouped(self, operator: str) -> str:
        """What stands after a `!`, or in parentheses."""
        if operator == "!":
            inner, kind = self._primary()
            return f'({inner} ?? "") in ["", "false"]' if kind == "name" else f"!({inner})"
        if operator != "(":
            raise UnsupportedError(operator)
        inside = self._or()
        self._expect(")")
        return f"({inside})"

    def _call(self, name: str) -> str:
        if name not in _OPERATORS:
            raise UnsupportedError(f"{name}()")
        self._expect("(")
        operands = []
        for number in range(2):
            text, kind = self._primary()
            operands.append(f'({text} ?? "")' if kind == "name" else text)
            self._expect(")" if number else ",")
        return f"{operands[0]} {_OPERATORS[name]} {operands[1]}"

    def _name(self, name: str) -> str:
        if name in GITHUB:
            return GITHUB[name]
        if name == "github.ref_name":
            return "(CI_COMMIT_TAG ?? CI_COMMIT_BRANCH)"
        if name in LITERALS:
            return json.dumps(LITERALS[name])
        context, _, rest = name.partition(".")
        if context == "matrix" and rest in self.matrix:
            return self.matrix[rest]
        raise UnsupportedError(name)

    def _next(self) -> str:
        return self.tokens[0][1] if self.tokens else ""

    def _take(self, word: str) -> bool:
        if self._next() != word:
            return False
        del self.tokens[0]
        return True

    def _expect(self, word: str) -> None:
        if not self._take(word):
            raise UnsupportedError(f'there is no "{word}"')
