"""Valid JSON is parsed as by Python's parser; everything else is an error."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignloop.data.strict_json import InvalidJson, parse_json

LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


@given(VALUES)
def test_a_value_is_the_same_with_and_without_spaces(value: object):
    for text in (json.dumps(value), json.dumps(value, separators=(",", ":"), ensure_ascii=False)):
        assert repr(parse_json(text + "\n")) == repr(value)


@pytest.mark.parametrize("space", ["", " "])
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a":_1,"a":_1}', "a key stands twice in one object"),
        ('{"a":_1,"b":_[{"c":_"x","d":_2,"c":_"x"}]}', "a key stands twice in one object"),
        ('{"a":_NaN}', "NaN is not JSON"),
        ('{"a":_[-Infinity]}', "-Infinity is not JSON"),
        ('{"a":_1e400}', "a number that is too large"),
        ('{"a":_1', "broken JSON: Expecting ',' delimiter"),
        ('{"a":_1}{}', "broken JSON: Extra data"),
        ('{"a":_' * 5000 + "1" + "}" * 5000, "JSON nested too deeply"),
    ],
    ids=lambda text: text[:30],
)
def test_invalid_json_is_an_error_with_and_without_spaces(text: str, reason: str, space: str):
    with pytest.raises(InvalidJson) as refused:
        parse_json(text.replace("_", space))
    assert refused.value.reason == reason
