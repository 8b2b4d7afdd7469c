"""configs/calculator.yaml is valid over the defaults, and needs the context that it states."""

from alignloop.pipeline.overrides import preview
from tests.stages.loop import PROJECT

EXAMPLE = PROJECT / "configs" / "calculator.yaml"
CALCULATOR = "alignloop.tools.calculator:calculator"
SUMS = ["3 + 4", "6 + 2", "5 * 2", "9 - 4"]
CONTEXT = 1200  # as the example and docs/tools.md state


def test_the_example_is_valid_and_needs_the_context_that_it_states() -> None:
    files = [PROJECT / "configs" / "files.yaml", EXAMPLE]
    params = preview(PROJECT / "params.yaml", files, {"base": "path/to/checkpoint"})
    assert params.tools.functions[0].function == CALCULATOR
    longest = params.tools.longest(params.decoding.max_new_tokens)
    assert longest + 200 <= CONTEXT
    assert f"up to {longest}, a prompt 200" in EXAMPLE.read_text()
    assert f"{CONTEXT:,}" in EXAMPLE.read_text()
