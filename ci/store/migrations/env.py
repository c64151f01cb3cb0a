"""What Alembic runs: the migrations, on the connection that `ci.store.database` has given it."""

from alembic import context

from ci.store.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,  # SQLite alters no tables
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
