"""A custom expectation: the user or prompt of a row occurs in one split only, over all sets."""

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


class ColumnValuesOneSplit(ColumnMapMetricProvider):
    """The metric behind the expectation: which values name one split."""

    condition_metric_name = "column_values.one_split"

    @column_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column: pd.Series, **_: Any) -> pd.Series:
        return ~column.str.contains(", ", regex=False).astype(bool)


class ExpectColumnValuesToNameOneSplit(ColumnMapExpectation):
    """Expect each value, the splits of a row's user or prompt as in `test, train`, to be a single one."""

    map_metric = "column_values.one_split"
    success_keys = ("mostly",)
