"""A fixture that lets Great Expectations list the values that violate an expectation."""

import os
from collections.abc import Callable, Sequence

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

import great_expectations as gx
import pandas as pd
import pytest
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.expectations.expectation import Expectation

Unmet = Callable[[Expectation, Sequence[object]], list[object]]


@pytest.fixture
def unmet() -> Unmet:
    def ask(expectation: Expectation, values: Sequence[object]) -> list[object]:
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        asset = context.data_sources.add_pandas("rows").add_dataframe_asset("rows")
        table = pd.DataFrame({"value": pd.Series(list(values), dtype=object)})
        batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": table})
        result = batch.validate(expectation, result_format="COMPLETE")
        assert not result.exception_info.get("raised_exception"), result.exception_info
        assert result.success == (not result.result["unexpected_list"])
        return result.result["unexpected_list"]

    return ask
