"""Alembic's entry: works on the connection and in the transaction of `monitoring.store.database.migrate`."""

from alembic import context

from monitoring.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table_schema=context.config.attributes["schema"],
)
with context.begin_transaction():
    context.run_migrations()
