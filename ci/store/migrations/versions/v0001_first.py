"""The first tables: repositories, deliveries, builds, Stages, steps."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "repositories",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("forge", sa.String(length=16), nullable=False),
        sa.Column("forge_url", sa.Text(), nullable=False),
        sa.Column("forge_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("clone_url", sa.Text(), server_default="", nullable=False),
        sa.Column("ssh_url", sa.Text(), server_default="", nullable=False),
        sa.Column("default_branch", sa.Text(), server_default="", nullable=False),
        sa.Column("private", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("trusted", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("last_number", sa.Integer(), server_default="0", nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("hook_secret", sa.Text(), server_default="", nullable=False),
        sa.Column("former_hook_secret", sa.Text(), server_default="", nullable=False),
        sa.Column("token", sa.Text(), server_default="", nullable=False),
        sa.Column("created", sa.Float(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_repositories")),
        sa.UniqueConstraint("forge_url", "forge_id", name=op.f("uq_repositories_forge_url_forge_id")),
        sa.UniqueConstraint("forge_url", "name", name=op.f("uq_repositories_forge_url_name")),
    )
    op.create_table(
        "builds",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("repository_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("event", sa.JSON(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("branch", sa.Text(), server_default="", nullable=False),
        sa.Column("ref", sa.Text(), server_default="", nullable=False),
        sa.Column("commit", sa.String(length=64), nullable=False),
        sa.Column("title", sa.Text(), server_default="", nullable=False),
        sa.Column("author", sa.Text(), server_default="", nullable=False),
        sa.Column("pull_request", sa.Integer(), server_default="0", nullable=False),
        sa.Column("parent", sa.Integer(), server_default="0", nullable=False),
        sa.Column("priority", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("diagnostics", sa.JSON(), nullable=False),
        sa.Column("decided_by", sa.Text(), server_default="", nullable=False),
        sa.Column("approved_by", sa.Text(), server_default="", nullable=False),
        sa.Column("created", sa.Float(), server_default="0", nullable=False),
        sa.Column("started", sa.Float(), server_default="0", nullable=False),
        sa.Column("finished", sa.Float(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name=op.f("fk_builds_repository_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_builds")),
        sa.UniqueConstraint("repository_id", "number", name=op.f("uq_builds_repository_id_number")),
    )
    op.create_index(op.f("ix_builds_repository_id_author_number"), "builds", ["repository_id", "author", "number"])
    op.create_index(op.f("ix_builds_repository_id_branch_number"), "builds", ["repository_id", "branch", "number"])
    op.create_index(op.f("ix_builds_repository_id_kind_number"), "builds", ["repository_id", "kind", "number"])
    op.create_index(op.f("ix_builds_repository_id_state_number"), "builds", ["repository_id", "state", "number"])
    op.create_index(op.f("ix_builds_state"), "builds", ["state"])

    op.create_table(
        "deliveries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("repository_id", sa.Integer(), nullable=False),
        sa.Column("delivery", sa.String(length=128), nullable=False),
        sa.Column("received", sa.Float(), server_default="0", nullable=False),
        sa.Column("event", sa.JSON(), nullable=True),
        sa.Column("outcome", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name=op.f("fk_deliveries_repository_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("repository_id", "delivery", name=op.f("uq_deliveries_repository_id_delivery")),
    )
    op.create_index(op.f("ix_deliveries_outcome_received"), "deliveries", ["outcome", "received"])
    op.create_index(op.f("ix_deliveries_received"), "deliveries", ["received"])

    op.create_table(
        "stages",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("build_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("matrix", sa.JSON(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("depends_on", sa.JSON(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("runner", sa.Text(), server_default="", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("losses", sa.Integer(), server_default="0", nullable=False),
        sa.Column("concurrency", sa.Integer(), server_default="0", nullable=False),
        sa.Column("runs_on", sa.String(length=8), server_default="success", nullable=False),
        sa.Column("expands", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("outputs", sa.JSON(), nullable=False),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("ready", sa.Float(), server_default="0", nullable=False),
        sa.Column("released", sa.Float(), server_default="0", nullable=False),
        sa.Column("cancelled", sa.Float(), server_default="0", nullable=False),
        sa.Column("queued", sa.Float(), server_default="0", nullable=False),
        sa.Column("started", sa.Float(), server_default="0", nullable=False),
        sa.Column("finished", sa.Float(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["build_id"], ["builds.id"], name=op.f("fk_stages_build_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stages")),
        sa.UniqueConstraint("build_id", "number", name=op.f("uq_stages_build_id_number")),
    )
    op.create_index(op.f("ix_stages_state"), "stages", ["state"])

    op.create_table(
        "steps",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("stage_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("started", sa.Float(), server_default="0", nullable=False),
        sa.Column("finished", sa.Float(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["stage_id"], ["stages.id"], name=op.f("fk_steps_stage_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_steps")),
        sa.UniqueConstraint("stage_id", "number", name=op.f("uq_steps_stage_id_number")),
    )
