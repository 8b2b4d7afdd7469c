"""Great Expectations' own rules where its pages would show another quantity than our sentence says."""

from math import floor
from typing import Any

from great_expectations.expectations.core.expect_column_proportion_of_unique_values_to_be_between import (
    ExpectColumnProportionOfUniqueValuesToBeBetween,
)
from great_expectations.expectations.core.expect_column_values_to_be_null import ExpectColumnValuesToBeNull
from great_expectations.render.components import LegacyDiagnosticRendererType
from great_expectations.render.renderer.renderer import renderer


class ExpectColumnToHoldNoFaults(ExpectColumnValuesToBeNull):
    """Expect no value in a column that holds a fault's description for each row that has one.

    The page shows the share of rows with a fault, not that of rows without one as `% null`.
    """

    @classmethod
    @renderer(renderer_type=LegacyDiagnosticRendererType.OBSERVED_VALUE)
    def _diagnostic_observed_value_renderer(
        cls, configuration: Any = None, result: Any = None, runtime_configuration: Any = None, **_: Any
    ) -> str:
        return cls._get_observed_value_from_evr(result=result)


class ExpectShareOfDistinctValuesToBeBetween(ExpectColumnProportionOfUniqueValuesToBeBetween):
    """Expect a share of distinct values; the page shows it in per cent, rounded down."""

    @classmethod
    @renderer(renderer_type=LegacyDiagnosticRendererType.OBSERVED_VALUE)
    def _diagnostic_observed_value_renderer(
        cls, configuration: Any = None, result: Any = None, runtime_configuration: Any = None, **_: Any
    ) -> str:
        share = result.result.get("observed_value") if result else None
        # rounded before it is cut off: 0.29 · 10,000 is 2,899.99…
        return "--" if share is None else f"{floor(round(share * 10_000, 6)) / 100:.2f}% distinct"
