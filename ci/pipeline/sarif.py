"""Diagnostics as SARIF 2.1.0 (OASIS), the format that forges and editors show in the lines of a change.

Pure; called by `ci-run lint --format sarif`. Columns are counted in characters, as ours are (`unicodeCodePoints`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.pipeline.diagnostics import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ci.pipeline.diagnostics import Diagnostic
    from ci.pipeline.source import Position

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}


def sarif(diagnostics: Iterable[Diagnostic], *, version: str) -> dict[str, object]:
    """One log with one run, ready for `json.dumps`. `version` is that of this program."""
    diagnostics = tuple(diagnostics)
    rules = {code: index for index, code in enumerate(dict.fromkeys(one.code for one in diagnostics))}
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {"name": "ci-run lint", "version": version, "rules": [{"id": code} for code in rules]}
                },
                "columnKind": "unicodeCodePoints",
                "results": [_result(one, rules[one.code]) for one in diagnostics],
            }
        ],
    }


def _result(diagnostic: Diagnostic, rule: int) -> dict[str, object]:
    hint = f"\n{diagnostic.hint}" if diagnostic.hint else ""
    return {
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": _LEVELS[diagnostic.severity],
        "message": {"text": diagnostic.message + hint},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": _uri(diagnostic.filename)},
                    "region": _region(diagnostic.position),
                }
            }
        ],
    }


def _region(position: Position) -> dict[str, int]:
    return {
        "startLine": position.line,
        "startColumn": position.column,
        "endLine": position.end_line,
        "endColumn": position.end_column,
    }


def _uri(filename: str) -> str:
    """A path as a relative reference (RFC 3986, 4.2)."""
    from urllib.parse import quote  # noqa: PLC0415  (text output needs none)

    return quote(filename.removeprefix("./"))
