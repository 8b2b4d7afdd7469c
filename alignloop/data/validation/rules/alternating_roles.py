"""A custom expectation: roles alternate, the user's turn first, after at most one system message."""

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

MESSAGES = {
    role: Message.model_construct(role=role, content="")
    for role in get_args(Message.model_fields["role"].annotation)
}


@cache
def roles_alternate(roles: str, last: str | None) -> bool:
    """Whether roles, as in `user assistant user`, alternate and end with `last` (None: either)."""
    try:
        check_turns(tuple(MESSAGES[role] for role in roles.split()), last)
    except ValueError:
        return False
    return True


class ColumnValuesAlternatingRoles(ColumnMapMetricProvider):
    """The metric behind the expectation: which values are alternating roles."""

    condition_metric_name = "column_values.alternating_roles"
    condition_value_keys = ("last",)

    @column_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column: pd.Series, last: str | None = None, **_: Any) -> pd.Series:
        return column.map(partial(roles_alternate, last=last)).astype(bool)


class ExpectColumnValuesToAlternateRoles(ColumnMapExpectation):
    """Expect roles, as in `user assistant user`, to alternate, the user first and `last` at the end.

    None: either role may be last.
    """

    last: str | None = None

    map_metric = "column_values.alternating_roles"
    success_keys = ("last", "mostly")
