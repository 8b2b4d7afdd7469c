"""Opinions by version, which outlive the conversations that they are about."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# the thumbs that there are; the earliest of each owner on a version is the first
KEPT = """
INSERT INTO served_opinions (message, kind, model, other, asked, value, is_first, time)
SELECT f.message, 'thumb', f.model, '', c.model, CASE WHEN f.is_up THEN 1.0 ELSE 0.0 END,
       f.id = MIN(f.id) OVER (PARTITION BY c.owner, f.model, c.model), f.time
FROM response_feedback f
JOIN chat_messages m ON m.id = f.message
JOIN conversations c ON c.id = m.conversation
WHERE f.kind = 'thumb'
"""


def upgrade() -> None:
    op.create_table(
        "served_opinions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("message", sa.Integer(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("other", sa.String(), nullable=False),
        sa.Column("asked", sa.String(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("is_first", sa.Boolean(), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["message"], ["chat_messages.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("message", "kind"),
    )
    op.create_index("served_opinions_of_model", "served_opinions", ["model", "kind"], unique=False)
    op.execute(KEPT)
