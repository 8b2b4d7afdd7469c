"""Every rule tells a response that follows its instruction from one that does not."""

from typing import Any

import pytest

from alignloop.records import Instruction
from alignloop.scoring.instructions import RULES, rule_of, share_followed

CASES: list[tuple[str, dict[str, Any], str, str]] = [
    ("keywords:existence", {"keywords": ["sea", "Salt"]}, "The SEA has salt.", "The sea."),
    ("keywords:forbidden_words", {"forbidden_words": ["sea"]}, "The season.", "The Sea."),
    ("keywords:frequency", {"keyword": "a", "frequency": 2, "relation": "at least"}, "a A", "a"),
    ("keywords:frequency", {"keyword": "a", "frequency": 2, "relation": "less than"}, "a", "a a"),
    ("length_constraints:number_words", {"num_words": 3, "relation": "at least"}, "one two-three", "one two"),
    (
        "length_constraints:number_words",
        {"num_words": 3, "relation": "less than"},
        "one two",
        "one two three",
    ),
    (
        "length_constraints:number_sentences",
        {"num_sentences": 2, "relation": "at least"},
        "Is it? 1.5",
        "1.5.",
    ),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "a\n***\nb", "a\n***\n***\nb"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n- b", "* a\n**b**"),
    (
        "detectable_format:number_highlighted_sections",
        {"num_highlights": 2},
        "*a* and **b**",
        "*a* and ** **",
    ),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', "{a: 1}"),
    ("detectable_format:title", {}, "<<Sea>>\nIt is salt.", "<< >>"),
    ("detectable_format:constrained_response", {}, "My answer is no.", "No."),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[name], [street]", "[name], []"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye.\nP.S. Salt.", "The P.S. is short"),
    ("startend:end_checker", {"end_phrase": "Any more?"}, 'Yes. "any more?"', "Any more? No."),
    ("startend:quotation", {}, ' "so" ', '"so'),
    ("change_case:english_lowercase", {}, "so it is", "So it is"),
    ("change_case:english_capital", {}, "SO IT IS", "So it is"),
    ("punctuation:no_comma", {}, "a; b", "a, b"),
]


@pytest.mark.parametrize(("id", "kwargs", "follows", "fails"), CASES)
def test_a_rule_tells_what_follows_it(id: str, kwargs: dict[str, Any], follows: str, fails: str) -> None:
    rule = rule_of(Instruction(id=id, kwargs=kwargs))
    assert (rule(follows), rule(fails), rule(" \n")) == (True, False, False)


def test_every_rule_is_tried_and_the_score_is_the_share_that_is_followed() -> None:
    assert {case[0] for case in CASES} == set(RULES)
    rules = [rule_of(Instruction(id="punctuation:no_comma")), rule_of(Instruction(id="startend:quotation"))]
    assert [share_followed(rules, text) for text in ('"a"', "a", "a, b")] == [1.0, 0.5, 0.0]


@pytest.mark.parametrize(
    ("id", "kwargs", "fault"),
    [
        (
            "language:response_language",
            {"language": "de"},
            "'language:response_language' is not known; known",
        ),
        ("keywords:existence", {}, "keywords: Field required"),
        ("keywords:existence", {"keywords": ["a"], "n": 1}, "n: Extra inputs are not permitted"),
        ("length_constraints:number_words", {"num_words": 3, "relation": "at most"}, "must be 'at least' or"),
    ],
)
def test_an_unknown_rule_or_argument_is_refused(id: str, kwargs: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        rule_of(Instruction(id=id, kwargs=kwargs))


def test_nulls_of_other_rules_are_read_over_as_in_published_files() -> None:
    assert rule_of(Instruction(id="punctuation:no_comma", kwargs={"num_words": None}))("a")
