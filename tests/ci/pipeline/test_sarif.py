"""Diagnostics as SARIF."""

from __future__ import annotations

from typing import Any

import ci.pipeline
from ci.pipeline.sarif import sarif


def runs(log: Any) -> dict[str, Any]:
    """The one run of a log."""
    (run,) = log["runs"]
    return run  # type: ignore[no-any-return]


def test_a_log() -> None:
    """Each diagnostic is a result with its rule, level, place and hint; a path is a reference."""
    found = ci.pipeline.check("steps:\n  - {name: a, image: b, comands: [x], privileged: true}", "./a b/.ci.yml")
    log = sarif(found, version="1.2")
    run = runs(log)
    assert log["version"] == "2.1.0"
    assert run["tool"]["driver"]["rules"] == [{"id": "unknown-key"}, {"id": "needs-trust"}]
    first, second = run["results"]
    assert (first["ruleId"], first["ruleIndex"], first["level"]) == ("unknown-key", 0, "error")
    assert first["message"]["text"] == 'unknown key "comands" in step "a"\ndid you mean "commands"?'
    assert first["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "a%20b/.ci.yml"},
        "region": {"startLine": 2, "startColumn": 25, "endLine": 2, "endColumn": 32},
    }
    assert (second["ruleId"], second["ruleIndex"], second["level"]) == ("needs-trust", 1, "note")


def test_nothing_wrong() -> None:
    """A file without mistakes is a run without results."""
    assert runs(sarif((), version="1.2"))["results"] == []
