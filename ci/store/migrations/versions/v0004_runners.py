"""Runners, what they leave of Stages, schedules."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = depends_on = None


def _owner(table: str, column: str, owner: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}")
    return sa.ForeignKeyConstraint([column], [f"{owner}.id"], name=name, ondelete="CASCADE")


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.Integer(), nullable=False)


def _time(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Float(), server_default="0", nullable=False)


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "runners",
        _id(),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("load", sa.JSON(), nullable=False),
        _time("created"),
        _time("seen"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runners")),
        sa.UniqueConstraint("name", name=op.f("uq_runners_name")),
        sa.UniqueConstraint("digest", name=op.f("uq_runners_digest")),
    )
    op.create_table(
        "artifacts",
        _id(),
        sa.Column("stage_id", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        _time("created"),
        _owner("artifacts", "stage_id", "stages"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_artifacts")),
        sa.UniqueConstraint("stage_id", "attempt", "path", name=op.f("uq_artifacts_stage_id_attempt_path")),
    )
    op.create_table(
        "test_reports",
        _id(),
        sa.Column("stage_id", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        _owner("test_reports", "stage_id", "stages"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_test_reports")),
        sa.UniqueConstraint("stage_id", "attempt", "step", name=op.f("uq_test_reports_stage_id_attempt_step")),
    )
    op.create_table(
        "crons",
        _id(),
        sa.Column("repository_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("branch", sa.Text(), server_default="", nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.true(), nullable=False),
        _time("next"),
        _time("created"),
        sa.Column("outcome", sa.Text(), server_default="", nullable=False),
        _owner("crons", "repository_id", "repositories"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_crons")),
        sa.UniqueConstraint("repository_id", "name", name=op.f("uq_crons_repository_id_name")),
    )
    op.create_index(op.f("ix_crons_next"), "crons", ["next"])
