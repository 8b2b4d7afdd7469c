"""Consent, feedback on responses, comparisons; the system prompt that a response was made with."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("chat_messages", sa.Column("system", sa.Text(), nullable=True))
    op.create_table(
        "consent_statements",
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("licence", sa.String(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("version"),
    )
    op.create_table(
        "consent_decisions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("agreed", sa.Boolean(), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["version"], ["consent_statements.version"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("consent_decisions_of_owner", "consent_decisions", ["owner", "id"], unique=False)
    op.create_table(
        "chat_people",
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("pseudonym", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("owner"),
        sa.UniqueConstraint("pseudonym"),
    )
    op.create_table(
        "response_feedback",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("message", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("is_up", sa.Boolean(), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["message"], ["chat_messages.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("message", "kind"),
    )
    op.create_table(
        "response_comparisons",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("conversation", sa.String(), nullable=False),
        sa.Column("left", sa.Integer(), nullable=False),
        sa.Column("right", sa.Integer(), nullable=False),
        sa.Column("choice", sa.String(), nullable=True),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("time", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["conversation"], ["conversations.id"]),
        sa.ForeignKeyConstraint(["left"], ["chat_messages.id"]),
        sa.ForeignKeyConstraint(["right"], ["chat_messages.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("left"),
        sa.UniqueConstraint("right"),
    )
    op.create_index(
        "response_comparisons_of_conversation", "response_comparisons", ["conversation"], unique=False
    )
