"""docs/pipeline.md: every example is right, and every key, variable and code is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import ci.pipeline
from ci.pipeline.compile import compile_all
from ci.pipeline.conditions import FACTS
from ci.pipeline.diagnostics import Severity, render
from ci.pipeline.dialects.hako import DOCUMENT_KEYS, SERVICE_KEYS, STEP_KEYS
from ci.pipeline.event import Event, EventKind
from ci.pipeline.variables import NAMES

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "pipeline.md").read_text()
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
TEMPLATES: dict[str, str] = dict(
    re.findall(r"^The template `(.*?)`:\n\n```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
)
EXAMPLES = [text for text in BLOCKS if text not in TEMPLATES.values()]


class Templates:
    """The templates that are on the page; in place of others there is one step."""

    def read(self, path: str, ref: str) -> bytes:
        """As in Library."""
        return TEMPLATES.get(path if not ref else "", "steps: [{name: release, commands: [make]}]").encode()


def section(title: str) -> str:
    """The part of the page below a heading."""
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("text", EXAMPLES, ids=range(len(EXAMPLES)))
def test_examples(text: str) -> None:
    """An example has no mistakes and no warnings, and compiles for every event."""
    loaded = ci.pipeline.load(text, library=Templates())
    assert [one for one in loaded.diagnostics if one.severity is not Severity.INFO] == [], render(loaded.diagnostics)
    for kind in EventKind:
        event = Event(kind=kind, branch="main", tag="v1", repository="team/app", changed_files=("src/a.c",))
        compile_all(loaded.require(), event)


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("Keys of a document", DOCUMENT_KEYS),
        ("Keys of a step", STEP_KEYS),
        ("Keys of a service", [key for key in SERVICE_KEYS if key not in STEP_KEYS]),
        ("Conditions: `when`", [*FACTS, *EventKind, "matrix", "include", "exclude"]),
        ("Variables", sorted(NAMES)),
    ],
)
def test_every_word_is_explained(title: str, words: list[str]) -> None:
    """What a file may say is on the page, in its section."""
    assert [word for word in words if f"`{word}`" not in section(title)] == []


def test_every_example_is_found() -> None:
    """No example is in a block that this test does not see."""
    assert len(EXAMPLES) >= 10
    assert TEMPLATES
    assert PAGE.count("\n```") == 2 * len(BLOCKS)


def test_every_key_has_an_example() -> None:
    """Each is used somewhere on the page."""
    keys = {*DOCUMENT_KEYS, *STEP_KEYS, *SERVICE_KEYS}
    text = "\n".join(EXAMPLES)
    assert {key for key in keys if not re.search(rf"(?<![\w-]){key}:", text)} == set()


def test_every_code_is_explained() -> None:
    """The table of codes has all that the sources have, and no other."""
    raising = r'(?:error|warning|info|mistake|BadValue|SourceError)\(\s*(?:report,\s*)?"([a-z0-9-]+)"'
    given = r'^ *(?:code: str = )?"((?:bad|not|file|too)-[a-z0-9-]+)",|code: str = "([a-z-]+)"|, "(bad-[a-z]+)"\)'
    found: set[str] = set()
    for path in (ROOT / "ci" / "pipeline").rglob("*.py"):
        if path.name not in {"compile.py", "spec.py"}:
            text = path.read_text()
            found |= set(re.findall(raising, text))
            found |= {code for codes in re.findall(given, text, re.MULTILINE) for code in codes if code}
            found |= set(re.findall(r'"(too-many|bad-character|not-utf8)"', text))
    table = "\n".join(line.split(" | ")[0] for line in section("Lint").splitlines() if line.startswith("| `"))
    explained = set(re.findall(r"`([a-z0-9-]+)`", table))
    assert found == explained


def test_links() -> None:
    """Links within the page lead somewhere."""
    headings = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]*)\)", PAGE)) <= anchors
