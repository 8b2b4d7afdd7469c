"""Covering indexes for the queries of every page: the next item, the items left, the items finished today."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("items_free", "items")
    op.create_index(
        "items_free", "items", ["purpose", "job", "active", "round", "done", "taken", "wanted"], unique=False
    )
    op.drop_index("ix_answers_labeler", "answers")
    op.create_index("answers_of_labeler", "answers", ["labeler", "submitted"], unique=False)
