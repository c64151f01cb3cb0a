"""The JUnit report."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from ci.cli.junit import Tail, report
from tests.ci.cli.test_summary import results


def test_suites_and_cases() -> None:
    """A Stage is a suite, a step a case, a service none; an error of the Stage itself is told."""
    outputs = {(1, "test"): "line <1>\x00"}
    root = ElementTree.fromstring(report(results(), outputs))  # noqa: S314
    first, second = root
    assert first.attrib == {
        "name": "ci[1]",
        "tests": "3",
        "failures": "1",
        "errors": "0",
        "skipped": "1",
        "time": "4.000",
    }
    assert [case.attrib["name"] for case in first] == ["build", "test", "deploy"]
    assert first[1].find("failure").attrib == {"message": "why"}  # type: ignore[union-attr]
    assert first[1].findtext("system-out") == "line <1>\ufffd"
    assert (second.attrib["errors"], second.findtext("system-err")) == ("1", "no address is left")


@given(st.binary())
def test_any_output_is_well_formed(data: bytes) -> None:
    """Whatever a step prints."""
    tail = Tail()
    tail.write(data)
    ElementTree.fromstring(report(results(), {(1, "test"): tail.text()}))  # noqa: S314


def test_only_the_end_of_a_long_output_is_kept() -> None:
    """From a whole line on."""
    tail = Tail()
    for number in range(100_000):
        tail.write(f"{number}\n".encode())
    lines = tail.text().splitlines()
    assert lines[-1] == "99999"
    assert lines[0] == str(100_000 - len(lines))
