"""A custom expectation: ranks are a weak order of the responses, 1, 2, … without gaps, ties allowed."""

from functools import cache
from typing import Any

import pandas as pd
from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import ColumnMapExpectation
from great_expectations.expectations.metrics.map_metric_provider.column_condition_partial import (
    column_condition_partial,
)
from great_expectations.expectations.metrics.map_metric_provider.column_map_metric_provider import (
    ColumnMapMetricProvider,
)

from alignloop.records import check_order


@cache
def is_weak_order(order: str) -> bool:
    """Whether an order, as in `1 2 2 of 3`, ranks every response."""
    ranks, _, responses = order.partition(" of ")
    try:
        check_order(tuple(map(int, ranks.split())), int(responses))
    except ValueError:
        return False
    return True


class ColumnValuesWeakOrder(ColumnMapMetricProvider):
    """The metric behind the expectation: which values are weak orders."""

    condition_metric_name = "column_values.weak_order"

    @column_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column: pd.Series, **_: Any) -> pd.Series:
        return column.map(is_weak_order).astype(bool)


class ExpectColumnValuesToBeWeakOrders(ColumnMapExpectation):
    """Expect each value, ranks and the number of responses as in `1 2 2 of 3`, to be a weak order.

    Every response is ranked, without gaps; ties are allowed.
    """

    map_metric = "column_values.weak_order"
    success_keys = ("mostly",)
