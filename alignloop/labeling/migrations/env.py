"""Alembic environment: the connection comes from database.py, the schema from schema.py."""

from alembic import context

from alignloop.labeling import escalation_schema, feedback_schema, serving_schema  # noqa: F401  their tables
from alignloop.labeling.schema import Table

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Table.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
