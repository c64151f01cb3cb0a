"""Lists in every form."""

from __future__ import annotations

import json

import pytest

from sandbox.cli.listing import FORMAT, QUIET, listing
from sandbox.cli.options import Syntax, UsageError, parse

ROWS = [{"ID": "1a", "Names": "one", "Size": "5B"}, {"ID": "2b", "Names": "two", "Size": "6B"}]
HEADINGS = {"ID": "CONTAINER ID", "Names": "NAMES", "Size": "SIZE"}


def show(*words: str, rows: list[dict[str, str]] = ROWS) -> str:
    """What a list with these options prints."""
    return listing(rows, HEADINGS, ("ID", "Names"), parse(Syntax("list", "", (FORMAT, QUIET)), words))


def test_a_table() -> None:
    """The plain columns, with headings also when there is nothing."""
    assert show() == "CONTAINER ID   NAMES\n1a             one\n2b             two\n"
    assert show(rows=[]) == "CONTAINER ID   NAMES\n"


def test_ids_only() -> None:
    """-q prints ids, and nothing for an empty list."""
    assert show("-q") == "1a\n2b\n"
    assert show("-q", rows=[]) == ""


def test_json() -> None:
    """One object a line, as docker's --format json."""
    assert [json.loads(line) for line in show("--format", "json").splitlines()] == ROWS


def test_templates() -> None:
    """A line for each row, or with `table` in front columns with headings."""
    assert show("--format", "{{.Names}}={{.Size}}") == "one=5B\ntwo=6B\n"
    assert show("--format", r"table {{.Size}}\t{{.ID}}") == "SIZE   CONTAINER ID\n5B     1a\n6B     2b\n"
    with pytest.raises(UsageError):
        show("--format", "{{range}}")
