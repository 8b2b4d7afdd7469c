"""Wins, losses and ties are told apart by the judge of the evaluation, and chosen by the stated rule."""

from alignloop.evaluation.side_by_side import contrasts, render, selection_rule
from alignloop.records import EvaluatedResponse, Message, Prompt


def responses(
    values: list[tuple[float, float]], gold: bool = True, texts: str = "{} {}"
) -> list[EvaluatedResponse]:
    """Both models' responses; the candidate's and the other's value of each prompt."""
    made = []
    for number, pair in enumerate(values):
        prompt = Prompt(
            id=f"p{number}", messages=(Message(role="user", content=f"{number}?"),), user="u", source="s"
        )
        for model, value in zip(("policy", "sft"), pair, strict=True):
            marks = {"passed": None, "made_up": None, "over_refused": None, "tokens": 1, "ended": True}
            about = {"id": f"{model}{number}", "prompt": prompt, "model": model}
            text = texts.format(model, number)
            worth = {"gold": value if gold else None, "score": -value if gold else value}
            made.append(EvaluatedResponse(**about, response=text, **worth, **marks))
    return made


VALUES = [(0.0, 1.0), (2.0, 1.0), (1.0, 1.0), (3.0, 0.0), (0.0, 3.0), (2.0, 1.0)]


def test_the_largest_difference_comes_first_and_of_equal_ones_the_first_in_the_test_set():
    found = contrasts(responses(VALUES))
    assert found.judge == "gold"
    assert [each.candidate.prompt.id for each in found.better] == ["p3", "p1", "p5"]
    assert [each.candidate.prompt.id for each in found.worse] == ["p4", "p0"]
    assert [each.candidate.prompt.id for each in found.same] == ["p2"]
    assert selection_rule(found, 2) == (
        "By gold, the candidate's response is better on 3 of 6 test prompts, worse on 2 and the same on 1. "
        "Shown: of each, the 2 with the largest difference (of equal ones the first in the test set)."
    )


def test_without_gold_for_every_prompt_the_reward_model_judges_and_the_rule_says_whom_it_favours():
    some = responses(VALUES, gold=False)
    some[0] = some[0].model_copy(update={"gold": 9.0})
    found = contrasts(some)
    assert found.judge == "reward_model"
    assert [each.candidate.prompt.id for each in found.worse] == ["p4", "p0"]
    assert selection_rule(found, 1).endswith(
        "The candidate was trained to score high with this reward model, which therefore favours it."
    )


def test_of_ties_those_with_different_texts_are_shown_first():
    equal, other = responses([(1.0, 1.0)], texts="same {1}"), responses([(1.0, 1.0), (2.0, 2.0)])[2:]
    found = contrasts([*equal, *other])
    assert [each.candidate.prompt.id for each in found.same] == ["p1", "p0"]


def test_each_example_is_labelled_and_an_outcome_without_one_is_said():
    text = render(contrasts(responses([(0.0, 1.0), (0.5, 0.5)])), 1, "champion", 100)
    assert text.split("\n\n")[1:] == [
        "**The candidate is better on no prompt.**",
        "**The candidate is worse**: 0.00 against 1.00 by gold",
        "> 0?",
        "- candidate: policy 0\n- champion: sft 0",
        "**The candidate is the same**: 0.50 against 0.50 by gold",
        "> 1?",
        "- candidate: policy 1\n- champion: sft 1",
    ]
