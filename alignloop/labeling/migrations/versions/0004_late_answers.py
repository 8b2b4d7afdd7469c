"""Whether a submission came after its round was closed."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("answers", sa.Column("late", sa.Boolean(), nullable=False, server_default=sa.false()))
    closed = "SELECT closed FROM rounds JOIN items ON items.round = rounds.id WHERE items.id = answers.item"
    op.execute(
        f"UPDATE answers SET late = {sa.true().compile(dialect=op.get_bind().dialect)} "
        f"WHERE submitted > ({closed})"
    )
