"""What each key of each dialect compiles to: small files in `golden`, each with what is to come out of it.

A file `golden/<dialect>/<place>-<key>.yml` has beside it a JSON file with its diagnostics and, for each event that its
comment `# events:` names, the Stages, without what has its usual value. `# environment: all` keeps the variables that
every container has. After a change that is meant, `HAKO_GOLDEN=write` writes the JSON files anew; read the difference.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

import ci.pipeline
from ci.pipeline.compile import compile_all
from ci.pipeline.dialects import drone, hako, woodpecker
from ci.pipeline.event import Event, EventKind, Previous

GOLDEN = Path(__file__).parent / "golden"
NAMES = {"drone": ".drone.yml", "woodpecker": ".woodpecker.yml", "hako": ".ci.yml"}
EVERYTHING: dict[str, Any] = {
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "message": "fix: it's `this` $(id)\n\nand more",
    "author": "Ada L",
    "author_login": "ada",
    "author_email": "ada@example.org",
    "author_avatar": "https://example.org/ada.png",
    "sender": "grace",
    "repository": "team/app",
    "remote_url": "https://git.example.org/team/app.git",
    "ssh_url": "git@git.example.org:team/app.git",
    "default_branch": "main",
    "link": "https://git.example.org/team/app/commit/0123",
    "before": "f" * 40,
    "changed_files": ("README.md", "src/a.c"),
    "created": 1700000000,
    "platform": "linux/amd64",
}
OF_KIND: dict[EventKind, dict[str, Any]] = {
    EventKind.PUSH: {"branch": "main"},
    EventKind.TAG: {"tag": "v1.2.3-rc.1", "changed_files": None},
    EventKind.RELEASE: {"tag": "v1.2.3", "prerelease": True},
    EventKind.DEPLOYMENT: {"branch": "main", "deploy_target": "production", "deploy_task": "migrate", "parent": 7},
    EventKind.ROLLBACK: {"branch": "main", "ref": "refs/tags/v1.0.0", "deploy_target": "staging", "parent": 7},
    EventKind.CRON: {"branch": "main", "cron": "nightly"},
    EventKind.MANUAL: {"branch": "main", "parameters": (("LEVEL", "debug"),)},
}
_USUAL = re.compile(r"CI$|CI_(?!VALUE)|(PULLREQUEST_)?DRONE")  # variables of every container
PULL_REQUEST: dict[str, Any] = {
    "branch": "main",
    "source_branch": "topic/x",
    "pull_request": 42,
    "pull_request_title": "A title",
    "labels": ("bug", "ui"),
    "milestone": "next",
    "action": "opened",
}


def event(kind: EventKind) -> Event:
    """An event of a kind, with all that it can have."""
    before = Event(**(EVERYTHING | {"branch": "main", "message": "before"}))
    previous = Previous(number=11, status="failure", event=before, started=1699990000, finished=1699990100)
    return Event(kind=kind, **(EVERYTHING | (OF_KIND.get(kind) or PULL_REQUEST) | {"previous": previous}))


@pytest.mark.parametrize("path", sorted(GOLDEN.rglob("*.yml")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_golden(path: Path) -> None:
    """The file compiles to what its JSON file says."""
    found = json.dumps(compiled(path), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    expected = path.with_suffix(".json")
    if os.environ.get("HAKO_GOLDEN") == "write":
        expected.write_text(found)
    assert json.loads(found) == json.loads(expected.read_text())


TABLES = [
    (name, place, key)
    for name, dialect in (("drone", drone), ("woodpecker", woodpecker), ("hako", hako))
    for place, keys in (
        ("document", dialect.DOCUMENT_KEYS),
        ("step", dialect.STEP_KEYS),
        ("when", dialect.WHEN_KEYS),
    )
    for key in keys
] + [
    *(("hako", "service", key) for key in hako.SERVICE_KEYS if key not in hako.STEP_KEYS),
    ("hako", "step", "from_output"),
    ("hako", "document", "from_output"),
    *((name, "clone", "image") for name in ("hako", "woodpecker")),
]


def test_every_key_has_one() -> None:
    """No key of a table is without a golden file, and the other way round."""
    wanted = {f"{name}/{place}-{key}" for name, place, key in TABLES}
    found = {f"{path.parent.name}/{path.stem}" for path in GOLDEN.rglob("*.yml")}
    assert wanted - found == set()
    assert {name for name in found - wanted if not name.endswith("variables-all")} == set()


def test_every_file_says_its_key() -> None:
    """A golden file has the key that it is named after."""
    for path in GOLDEN.rglob("*.yml"):
        place, _, key = path.stem.partition("-")
        assert place == "variables" or re.search(rf"\b{key}\b", path.read_text()), path


def compiled(path: Path) -> dict[str, object]:
    """The diagnostics and the Stages of a file."""
    text = path.read_text()
    loaded = ci.pipeline.load(text, NAMES[path.parent.name])
    kinds = re.search(r"^# events: (.*)$", text, re.MULTILINE)
    everything = "# environment: all" in text
    return {
        "diagnostics": [
            f"{one.position.line}:{one.position.column} {one.severity} {one.code}" for one in loaded.diagnostics
        ],
        "stages": {
            kind: [
                short(stage, everything) for stage in compile_all(loaded.require(), event(EventKind(kind)), number=12)
            ]
            for kind in (kinds[1].split() if kinds else ["push"])
        },
    }


def short(record: Any, everything: bool) -> Any:
    """A record as plain values, without fields that have their usual value and variables that are always there."""
    if not is_dataclass(record):
        return [short(item, everything) for item in record] if isinstance(record, tuple) else record
    result = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if field.name == "environment" and not everything:
            value = {name: text for name, text in value.items() if not _USUAL.match(name)}
        value = dict(value) if isinstance(value, dict) else short(value, everything)
        if value not in (None, "", [], {}) and value != field.default:
            result[field.name] = value
    return result
