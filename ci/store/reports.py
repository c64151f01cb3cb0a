"""What the reports of tests say, step by step of an attempt: kept as runners count them, read whole by pages."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sql

from ci.store.schema import test_reports


def put(connection: sql.Connection, stage_id: int, attempt: int, step: int, report: Any) -> None:
    """Keep one, in place of what the step had."""
    same = {"stage_id": stage_id, "attempt": attempt, "step": step}
    where = [test_reports.c[name] == value for name, value in same.items()]
    if not connection.execute(sql.update(test_reports).where(*where).values(report=report)).rowcount:
        connection.execute(sql.insert(test_reports).values(**same, report=report))


def of_stage(connection: sql.Connection, stage_id: int, attempt: int) -> dict[int, Any]:
    """By the steps' numbers."""
    rows = connection.execute(
        sql.select(test_reports.c.step, test_reports.c.report)
        .where(test_reports.c.stage_id == stage_id, test_reports.c.attempt == attempt)
        .order_by(test_reports.c.step)
    )
    return {row.step: row.report for row in rows}
