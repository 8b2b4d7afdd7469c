"""An expectation of our own: roles alternate, the user's first, after at most one system message."""

from functools import cache, partial
from typing import Any, get_args

import pandas as pd
from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import ColumnMapExpectation
from great_expectations.expectations.metrics.map_metric_provider.column_condition_partial import (
    column_condition_partial,
)
from great_expectations.expectations.metrics.map_metric_provider.column_map_metric_provider import (
    ColumnMapMetricProvider,
)

from alignloop.records import Message, check_turns

SPOKEN = {
    role: Message.model_construct(role=role, content="")
    for role in get_args(Message.model_fields["role"].annotation)
}


@cache
def take_turns(roles: str, last: str | None) -> bool:
    """Whether `user assistant user` alternate, and end with `last` (None: either)."""
    try:
        check_turns(tuple(SPOKEN[role] for role in roles.split()), last)
    except ValueError:
        return False
    return True


class ColumnValuesTakingTurns(ColumnMapMetricProvider):
    """Which values are roles that alternate."""

    condition_metric_name = "column_values.taking_turns"
    condition_value_keys = ("last",)

    @column_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column: pd.Series, last: str | None = None, **_: Any) -> pd.Series:
        return column.map(partial(take_turns, last=last)).astype(bool)


class ExpectColumnValuesToTakeTurns(ColumnMapExpectation):
    """Expect each value, roles as in `user assistant user`, to alternate, the user's first, and `last` (None: either) at the end."""

    last: str | None = None

    map_metric = "column_values.taking_turns"
    success_keys = ("last", "mostly")
