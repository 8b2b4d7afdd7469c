"""The turns of responses that called tools: of messages in chat, and of responses that people compare."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("chat_messages", sa.Column("turns", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("items", sa.Column("turns", sa.JSON(none_as_null=True), nullable=True))
