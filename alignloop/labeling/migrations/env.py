"""Alembic's way into the store: the connection comes from store.py, the schema from tables.py."""

from alembic import context

from alignloop.labeling.schema import Table

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Table.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
