"""Reviews: candidates that people compare with the champion."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reviews",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("candidate", sa.String(), nullable=False),
        sa.Column("other", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("alike", sa.Integer(), nullable=False),
        sa.Column("told", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("published", sa.Double(), nullable=False),
        sa.Column("decided", sa.Double(), nullable=True),
        sa.Column("continued", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
