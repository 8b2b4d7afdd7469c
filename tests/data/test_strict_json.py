"""A line holds the value that Python reads in it, however it is written; what is not quite JSON holds none."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignloop.data.strict_json import Broken, value_of

LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


@given(VALUES)
def test_a_value_is_the_same_with_spaces_and_without_them(value: object):
    for text in (json.dumps(value), json.dumps(value, separators=(",", ":"), ensure_ascii=False)):
        assert repr(value_of(text + "\n")) == repr(value)


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
def test_what_is_not_quite_json_is_refused_with_spaces_and_without_them(text: str, reason: str, space: str):
    with pytest.raises(Broken) as refused:
        value_of(text.replace("_", space))
    assert refused.value.reason == reason
