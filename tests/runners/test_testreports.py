"""Reports of tests that steps leave: what is counted, and that hostile ones do no harm."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from runners.testreports import KEPT, Failure, Tally, collect

if TYPE_CHECKING:
    from pathlib import Path

JUNIT = """<?xml version="1.0" encoding="UTF-8"?>
<testsuites><testsuite name="unit" tests="99">
  <testcase classname="calc" name="adds"/>
  <testcase classname="calc" name="divides"><failure message="1 != 2&#10;more">trace</failure></testcase>
  <testcase name="waits"><skipped/></testcase>
  <testcase name="opens"><error>

    no such file
    at line 3</error><system-out>noise</system-out></testcase>
</testsuite></testsuites>
"""
TAP = """TAP version 13
1..6
ok 1 - adds
not ok 2 - divides by #0
  ---
  message: '1 is not 2'
  ...
not ok 3 waits # TODO later
ok 4 # skip no network
    not ok 1 - inner
not ok 5
"""


def test_junit(tmp_path: Path) -> None:
    """Cases are counted, whatever the suite says; an error is a failure; the first line of a message is kept."""
    (tmp_path / "a.xml").write_text(JUNIT)
    tests, problems = collect(["*.xml"], tmp_path)
    assert problems == ()
    assert tests == Tally(
        total=4,
        failed=2,
        skipped=1,
        failures=(
            Failure(name="calc: divides", message="1 != 2"),
            Failure(name="unit: opens", message="no such file"),
        ),
    )


def test_tap(tmp_path: Path) -> None:
    """What is to be done may fail, subtests belong to their tests, and what was planned and did not run has failed."""
    (tmp_path / "a.tap").write_text(TAP)
    tests, problems = collect(["a.tap"], tmp_path)
    assert problems == ()
    assert tests == Tally(
        total=6,
        failed=3,
        skipped=2,
        failures=(
            Failure(name="divides by #0", message="1 is not 2"),
            Failure(name="test 5"),
            Failure(name="the plan", message="6 tests were planned, and 5 ran"),
        ),
    )


def test_several_are_counted_together(tmp_path: Path) -> None:
    """Of all files that the patterns choose; one that is none is named."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.xml").write_text(JUNIT)
    (tmp_path / "b.tap").write_text("ok 1\nBail out! no disk\n")
    (tmp_path / "c.txt").write_text("hello\n")
    tests, problems = collect(["sub", "*.tap", "c.txt"], tmp_path)
    assert tests is not None
    assert (tests.total, tests.failed) == (6, 3)
    assert tests.failures[0] == Failure(name="Bail out!", message="no disk")
    assert problems == ("c.txt: is neither JUnit's XML nor TAP",)
    assert collect(["none/*.xml"], tmp_path) == (None, ("there is no report: none/*.xml",))


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><testsuites>&b;</testsuites>'
OUTSIDE = '<!DOCTYPE x SYSTEM "file:///etc/passwd"><testsuites/>'


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (BOMB.encode(), "has a DOCTYPE, which reports have no use for"),
        (OUTSIDE.encode(), "has a DOCTYPE, which reports have no use for"),
        (BOMB.encode("utf-16"), "has a DOCTYPE, which reports have no use for"),
        (b"<testsuites><a>", "line 1 is no XML: no element found"),
        (b"<html></html>", "is no report of tests: it begins with <html>"),
        (b"<testsuites>" + b"<a>" * 100, "is nested too deep"),
        (b'<?xml version="1.0" encoding="nonsense"?><testsuites/>', "is in an encoding that is not known"),
        (b"", "is neither JUnit's XML nor TAP"),
        (b"\0\xff" * 100, "is neither JUnit's XML nor TAP"),
        (b"not ok" + b" " * (9 << 20) + b"\\", ""),
        (b"x" * (11 << 20), "cannot be read, or is larger than 10 MiB"),
    ],
    ids=range(11),
)
def test_what_is_hostile_is_refused(tmp_path: Path, data: bytes, problem: str) -> None:
    """Entities, depth, sizes, lines made to be slow: one sentence, at once."""
    (tmp_path / "a").write_bytes(data)
    _, problems = collect(["a"], tmp_path)
    assert problems == ((f"a: {problem}",) if problem else ())


def test_links_and_pipes_are_no_reports(tmp_path: Path) -> None:
    """Nothing outside of the workspace is read, and nothing waits."""
    (tmp_path / "secret").write_text(JUNIT)
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "a.xml").symlink_to("../secret")
    os.mkfifo(workspace / "b.xml")
    tests, problems = collect(["*.xml"], workspace)
    assert tests is None
    assert problems == ("a.xml: cannot be read, or is larger than 10 MiB",)


def test_texts_are_for_terminals(tmp_path: Path) -> None:
    """Escape codes in names do nothing; only the first failures are kept."""
    case = '<testcase name="a&#155;2J\u202e"><failure/></testcase>'
    (tmp_path / "a.xml").write_text(f"<testsuite>{case * (KEPT + 50)}</testsuite>")
    tests, _ = collect(["a.xml"], tmp_path)
    assert tests is not None
    assert (tests.failed, len(tests.failures)) == (KEPT + 50, KEPT)
    assert tests.failures[0].name == "a\ufffd2J\ufffd"
