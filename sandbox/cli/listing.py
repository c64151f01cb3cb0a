"""Lists as tables, ids, JSON lines or by a template: what `ps`, `images` and `network ls` have in common. Pure.

A row is a dictionary with docker's field names, which `--format` uses.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sandbox.cli.options import Option
from sandbox.cli.table import printable, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox.cli.options import Arguments

QUIET = Option(("-q", "--quiet"), "print ids only")
WHOLE = Option(("--no-trunc",), "shorten nothing")
FORMAT = Option(("--format",), "table, json, or a template such as '{{.ID}} {{.Names}}' or 'table {{.ID}}'", "FORMAT")


def listing(
    rows: Sequence[Mapping[str, str]], headings: Mapping[str, str], columns: Sequence[str], arguments: Arguments
) -> str:
    """The text for the rows; `headings` names each field, `columns` are those of the plain table."""
    if arguments.flag("quiet"):
        return "".join(f"{row['ID']}\n" for row in rows)
    form = arguments.text("format", "table")
    if form == "json":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if form == "table" or form.startswith("table "):  # for people, at a terminal
        rows = [{name: printable(text) for name, text in row.items()} for row in rows]
    if form == "table":
        return table([headings[column] for column in columns], [[row[column] for column in columns] for row in rows])
    from sandbox.cli.template import Template  # noqa: PLC0415  (brings regular expressions)

    with_headings = form.startswith("table ")
    template = Template(form.removeprefix("table "))
    if not with_headings:
        return "".join(f"{template.render(row)}\n" for row in rows)
    return table(template.render(headings).split("\t"), [template.render(row).split("\t") for row in rows])
