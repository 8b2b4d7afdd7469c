"""An expectation of our own: ranks are a weak order of the answers, 1, 2, … without gaps, ties allowed."""

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
    """Whether `1 2 2 of 3` ranks so many answers."""
    ranks, _, answers = order.partition(" of ")
    try:
        check_order(tuple(map(int, ranks.split())), int(answers))
    except ValueError:
        return False
    return True


class ColumnValuesWeakOrder(ColumnMapMetricProvider):
    """Which values are a weak order."""

    condition_metric_name = "column_values.weak_order"

    @column_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column: pd.Series, **_: Any) -> pd.Series:
        return column.map(is_weak_order).astype(bool)


class ExpectColumnValuesToBeWeakOrders(ColumnMapExpectation):
    """Expect each value, ranks and the number of answers as in `1 2 2 of 3`, to rank every answer, without gaps, ties allowed."""

    map_metric = "column_values.weak_order"
    success_keys = ("mostly",)
