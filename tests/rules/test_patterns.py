"""Patterns and keywords: what they find, and that no pattern takes longer than the text is long."""

import time

import pytest

from alignloop.rules.patterns import check_keywords, check_pattern, find_keywords, find_pattern


def found(keywords: list[str], text: str) -> list[str]:
    return [text[start:end] for start, end in find_keywords(keywords, text)]


@pytest.mark.parametrize(
    ("keywords", "text", "expected"),
    [
        (["foo"], "Foo foo barefoot foo_ foo", ["Foo", "foo", "foo"]),
        (["foo", "foo bar"], "foo barn FOO  bar", ["foo", "FOO  bar"]),
        (["c++", "größe"], "c++ c++1 GRÖßE größer", ["c++", "GRÖßE"]),
        (["中文", "foo"], "我说中文foo了中文", ["foo", "中文", "中文"]),
        (["a"], "a\ud800a", ["a", "a"]),
    ],
)
def test_keywords_are_whole_words_of_any_script(keywords: list[str], text: str, expected: list[str]):
    assert found(check_keywords(keywords), text) == expected


def test_a_pattern_that_would_backtrack_for_ever_takes_linear_time():
    text = "a" * 100_000 + "!"
    begun = time.perf_counter()
    for pattern in (r"(a+)+$", r"(a|aa)+$", r"^(\w+\s?)*$", r"(a*)*b|x"):
        assert list(find_pattern(pattern, text)) == []
    assert time.perf_counter() - begun < 2


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(?=a)b", "no look-around, no back-references"),
        (r"(a)\1", "no look-around, no back-references"),
        ("a*", "matches the empty text"),
        ("(a", "missing .: "),
    ],
)
def test_what_re2_cannot_search_for_is_refused(pattern: str, words: str):
    with pytest.raises(ValueError, match=words):
        check_pattern(pattern)
