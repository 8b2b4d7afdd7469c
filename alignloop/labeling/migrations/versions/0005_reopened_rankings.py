"""Rankings that their labeler has reopened, and why the order of a quiz item is right.

Items of one distinct response, which earlier versions published, are shown to nobody from now on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("assignments", sa.Column("reopened", sa.Double(), nullable=True))
    op.add_column("items", sa.Column("why", sa.Text(), nullable=False, server_default=""))
    columns = [sa.column("id", sa.Integer), sa.column("responses", sa.JSON), sa.column("active", sa.Boolean)]
    items = sa.table("items", *columns, sa.column("purpose", sa.String), sa.column("job", sa.String))
    query = sa.select(items.c.id, items.c.responses)
    published = op.get_bind().execute(
        query.where(items.c.purpose == "work", items.c.job == "rank", items.c.active)
    )
    pointless = [id for id, responses in published if len(set(responses)) == 1]
    for id in pointless:
        op.execute(items.update().where(items.c.id == id).values(active=False))
