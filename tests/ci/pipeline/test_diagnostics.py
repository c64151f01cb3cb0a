"""How mistakes are shown: golden renderings, and that nothing from a file can do harm to a terminal."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.pipeline import check
from ci.pipeline.diagnostics import DIAGNOSTICS_LIMIT, Report, Severity, printable, render, summary
from ci.pipeline.source import Position, source


def shown(text: str) -> str:
    """The rendering of what is wrong with a file."""
    return render(check(textwrap.dedent(text).lstrip("\n"), ".ci.yml"))


GOLDEN = [
    (
        """
        steps:
          - name: build
            imgae: busybox
            commands: [make]
        """,
        """
        .ci.yml:2:11: error: the step "build" has no image [missing-image]
         2 |   - name: build
           |           ^^^^^
           = write "image:", here or at the top for all steps
        .ci.yml:3:5: error: unknown key "imgae" in step "build" [unknown-key]
         3 |     imgae: busybox
           |     ^^^^^
           = did you mean "image"?
        """,
    ),
    (
        """
        image: busybox
        steps:
          - name: a
            depends_on: [c]
          - name: b
            depends_on: [a, tset]
          - name: c
            depends_on: b
          - name: test
        """,
        """
        .ci.yml:4:18: error: these wait for each other: a → c → b → a [dependency-cycle]
         4 |     depends_on: [c]
           |                  ^
           = remove one of the dependencies
        .ci.yml:6:21: error: "b" depends on "tset", and there is no such step [unknown-dependency]
         6 |     depends_on: [a, tset]
           |                     ^^^^
           = did you mean "test"?
        """,
    ),
    (
        """
        matrix:
          GO: ["1.21", "1.22"]
        steps:
          - name: test
            image: golang:${GOO}
            timeout: ${GO}x
            volumes: ["./cache:/c"]
        """,
        """
        .ci.yml:5:19: error: "GOO" is neither a variable of the matrix nor a CI_* variable [undefined-variable]
         5 |     image: golang:${GOO}
           |                   ^^^^^^
           = did you mean "${GO}"?
        .ci.yml:6:14: error: "1.21x" is not a duration (with GO=1.21) [bad-duration]
         6 |     timeout: ${GO}x
           |              ^^^^^^
           = write seconds, or units: "90s", "10m", "1h30m"
        .ci.yml:7:16: error: "./cache" is not an absolute path of the host [bad-volume]
         7 |     volumes: ["./cache:/c"]
           |                ^^^^^^^
           = the project's own files are in the workspace already
        .ci.yml:7:16: info: "./cache" is a directory of the host [needs-trust]
         7 |     volumes: ["./cache:/c"]
           |                ^^^^^^^
           = a server wants a trusted repository for this, a local run --trusted
        """,
    ),
    (
        """
        steps:
        \t- name: a
        """,
        """
        .ci.yml:2:1: error: a tab cannot indent [yaml-syntax]
         2 |     - name: a
           | ^^^^
           = indent with spaces
        """,
    ),
    (
        """
        steps:
          - {name: 日本, image: busybox, user: 語 語}
        """,
        """
        .ci.yml:2:12: error: "日本" is not a name [bad-name]
         2 |   - {name: 日本, image: busybox, user: 語 語}
           |            ^^^^
           = letters, digits, ".", "_" and "-", at most 63, a letter or digit at both ends
        .ci.yml:2:38: error: "語 語" is not a user [bad-user]
         2 |   - {name: 日本, image: busybox, user: 語 語}
           |                                        ^^^^^
           = write "name", "uid" or "uid:gid"
        """,
    ),
    (
        "",
        """
        .ci.yml:1:1: error: the file is empty [empty-file]
           = begin with "steps:", and a list below it
        """,
    ),
]


@pytest.mark.parametrize(("text", "expected"), GOLDEN, ids=range(len(GOLDEN)))
def test_golden(text: str, expected: str) -> None:
    """Whole renderings, as a user sees them."""
    assert shown(text) == textwrap.dedent(expected).lstrip("\n")


def test_in_colour() -> None:
    """The same text, with colours that end where they should."""
    diagnostics = check("a: 1", "x")
    coloured = render(diagnostics, colour=True)
    assert "\x1b[1;31merror:\x1b[0m" in coloured
    for escape in ("\x1b[1;31m", "\x1b[1m", "\x1b[2m", "\x1b[0m"):
        coloured = coloured.replace(escape, "")
    assert coloured == render(diagnostics)


def test_as_json() -> None:
    """One object with plain values for each mistake."""
    (one, _) = check("imag: b\nsteps: [{name: a, image: b, user: '$'}]", "dir/x.yml")
    assert one.as_json() == {
        "code": "unknown-key",
        "severity": "error",
        "message": 'unknown key "imag" in the document',
        "hint": 'did you mean "image"?',
        "file": "dir/x.yml",
        "line": 1,
        "column": 1,
        "end_line": 1,
        "end_column": 5,
        "excerpt": "imag: b",
        "fix": "image",
    }


def test_long_lines_are_cut() -> None:
    """Of a line of a megabyte the part around the mistake is shown, and of a long value the beginning."""
    text = "steps: [" + "{name: a, image: b}, " * 1000 + f"{{name: b, image: b, user: '{'x ' * 5000}'}}]"
    found = [one for one in check(text) if one.code == "bad-user"]
    assert len(found) == 1
    lines = render(found).splitlines()
    assert max(map(len, lines)) < 400
    assert lines[1].count("…") == 2
    start = lines[2].index("^")
    assert lines[1][start : start + 4] == "'x x"


def test_the_terminal_is_safe() -> None:
    """No control character, no escape sequence, no reordering character of a file reaches the terminal."""
    text = '"k\\e]8;;javascript:1\\a\u202e": "\\x9b31m"\nsteps: [{name: "a\\r\\nb", image: "\\e[2J"}]\n'
    rendered = render(check(text, "file\x1b[31m.yml"))
    assert "unknown key" in rendered
    assert all(character.isprintable() for line in rendered.split("\n") for character in line)


def test_printable() -> None:
    """Escapes are those that YAML and C have."""
    assert printable("a\x1b\n\x85\u202e\U000e0001é") == "a\\x1b\\n\\x85\\u202e\\U000e0001é"


def test_too_many() -> None:
    """After a thousand mistakes no more are taken; that is the last line."""
    report = Report(source("x", "a\n" * 3000))
    for line in range(2000, 0, -1):
        report.error("code", Position(line, 1, line, 2), "message")
    assert len(report.diagnostics) == DIAGNOSTICS_LIMIT + 1
    assert report.diagnostics[-1].code == "too-many"
    assert report.full


def test_the_same_is_kept_once() -> None:
    """A place that is reached twice is shown once."""
    codes = [
        one.code for one in check("a: &a {image: B}\nvariables: *a\nsteps: [{name: a, <<: *a}, {name: b, <<: *a}]")
    ]
    assert codes == ["unknown-key", "bad-image"]


def test_summary() -> None:
    """Errors and warnings are counted; what is good to know is not."""
    report = Report(source("x", ""))
    assert summary(report.diagnostics) == "no mistakes"
    report.info("a", Position(1, 1, 1, 1), "m")
    report.error("b", Position(1, 1, 1, 1), "m")
    report.warning("c", Position(1, 1, 1, 1), "m")
    report.warning("d", Position(1, 1, 1, 1), "m")
    assert summary(report.diagnostics) == "1 error, 2 warnings"
    assert report.failed
    assert Severity.INFO not in summary(report.diagnostics)


@given(st.text(max_size=30), st.tuples(*[st.integers(0, 40)] * 4), st.text(max_size=10))
def test_any_place_is_rendered(text: str, place: tuple[int, int, int, int], message: str) -> None:
    """Whatever the place and the text, there is a rendering without control characters."""
    report = Report(source("x", text))
    report.error("code", Position(*place), message)
    rendered = render(report.diagnostics)
    assert all(character.isprintable() for line in rendered.split("\n") for character in line)
