"""Each release gate fails alone if its value is out of bounds; the verdict lists every value and bound."""

from typing import Any

import pytest

from alignloop.params.release import Gates
from alignloop.records import EvaluatedResponse, Message, Prompt
from alignloop.release.gates import (
    OPTIONAL,
    RULES,
    behaviour_declines,
    compare_responses,
    evaluate_gates,
    render_verdict,
)

BOUNDS: dict[str, Any] = {
    "min_win_rate": 0.5,
    "max_kl_per_response_nats": 4.0,
    "min_distinct_2_ratio": 0.5,
    "max_length_drift": 0.25,
    "max_perplexity_ratio": 1.5,
    "max_behaviour_fall": 0.125,
    "max_over_optimisation": 0.25,
    "max_reward_model_gap": 0.25,
    "max_rule_violations": None,
    "red_team": True,
    "validated": True,
    "traced": True,
}
MINE: dict[str, Any] = {
    "distinct_2": 0.25,
    "length": 10.0,
    "perplexity": 6.0,
    "behaviours": {"fact": {"passed": 0.75}, "unknown": {"passed": 0.375}},
}
THEIRS: dict[str, Any] = {
    "distinct_2": 0.5,
    "length": 8.0,
    "perplexity": 4.0,
    "behaviours": {"fact": {"passed": 0.5}, "unknown": {"passed": 0.5}},
}
WINS: dict[str, Any] = {
    "gold": {"rate": 0.75, "low": 0.5, "high": 0.875, "n": 8, "ties": 0.0},
    "reward_model": {"rate": 0.5, "low": 0.25, "high": 0.75, "n": 8, "ties": 0.0},
}
DEFAULTS: dict[str, Any] = {
    "mine": MINE,
    "theirs": THEIRS,
    "wins": WINS,
    "kl": 4.0,
    "violations": 0,
    "untraced": 0,
    "against_champion": False,
    "rankings": {"simulated (form)": 30, "people": 10},
}
REWARD = {"train_accuracy": 0.75, "valid_accuracy": 0.5}


def decide(gates: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return evaluate_gates(
        Gates.model_validate(BOUNDS | (gates or {})), **{"reward": REWARD, **DEFAULTS, **changes}
    )


def test_values_at_their_bounds_are_met():
    verdict = decide()
    assert {name: (rule["value"], rule["met"]) for name, rule in verdict["rules"].items()} == {
        "min_win_rate": (0.5, True),
        "max_kl_per_response_nats": (4.0, True),
        "min_distinct_2_ratio": (0.5, True),
        "max_length_drift": (0.25, True),
        "max_perplexity_ratio": (1.5, True),
        "max_behaviour_fall": (0.125, True),
        "max_over_optimisation": (-0.25, True),
        "max_reward_model_gap": (0.25, True),
        "validated": (0, True),
        "traced": (0, True),
    }
    assert verdict["passed"]


@pytest.mark.parametrize(
    ("rule", "gates", "changes"),
    [
        ("min_win_rate", {"min_win_rate": 0.51}, {}),
        ("max_kl_per_response_nats", {}, {"kl": 4.01}),
        ("min_distinct_2_ratio", {}, {"mine": MINE | {"distinct_2": 0.24}}),
        ("max_length_drift", {}, {"mine": MINE | {"length": 10.1}}),
        ("max_length_drift", {}, {"mine": MINE | {"length": 5.9}}),
        ("max_perplexity_ratio", {}, {"mine": MINE | {"perplexity": 6.1}}),
        ("max_behaviour_fall", {}, {"mine": MINE | {"behaviours": {"fact": {"passed": 0.37}}}}),
        ("max_reward_model_gap", {}, {"reward": REWARD | {"train_accuracy": 0.76}}),
        ("max_reward_model_gap", {}, {"reward": REWARD | {"valid_accuracy": None}}),
        ("max_behaviour_fall", {}, {"mine": MINE | {"behaviours": {"fact": {"passed": None}}}}),
        ("min_distinct_2_ratio", {}, {"theirs": THEIRS | {"distinct_2": 0.0}}),
        ("max_rule_violations", {"max_rule_violations": 2.0}, {"rule_violations": 2.1}),
        ("max_rule_violations", {"max_rule_violations": 2.0}, {}),
        ("red_team", {}, {"red_team": 1}),
        ("validated", {}, {"violations": 1}),
        ("traced", {}, {"untraced": 1}),
    ],
)
def test_each_rule_alone_fails_the_gates(rule: str, gates: dict[str, Any], changes: dict[str, Any]):
    verdict = decide(gates, **changes)
    assert [name for name, each in verdict["rules"].items() if not each["met"]] == [rule]
    assert not verdict["passed"]
    off = False if rule in ("red_team", "validated", "traced") else None
    assert decide({**gates, rule: off}, **changes)["passed"], "a rule without a bound is not checked"


def test_the_verdict_has_a_line_per_rule_with_value_limit_margin_and_outcome():
    changes: dict[str, Any] = {"max_kl_per_response_nats": 3.0, "max_length_drift": None}
    text = render_verdict(decide(changes, against_champion=True))
    assert text.startswith(
        "**Gates FAILED**: 8 of 9 asked rules are met; 1 not asked, against the champion.\n\n"
    )
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|") and "--" not in line
    ]
    assert len(lines) == 1 + len(RULES) - len(OPTIONAL)
    title = "win rate against the champion: lower end of its 95 % interval"
    assert [title, "0.500", "≥ 0.500", "0.000", "met"] in lines
    assert ["KL to SFT, nats per response", "4.000", "≤ 3.000", "−1.000", "NOT MET"] in lines
    drift = "length: change of the mean, as a share of the champion's"
    assert [drift, "0.250", "–", "–", "not asked"] in lines
    fall = "behaviours: largest fall of a pass rate (unknown)"
    assert [fall, "0.125", "≤ 0.125", "0.000", "met"] in lines
    assert ["data validation: rules that are broken", "0", "≤ 0", "0", "met"] in lines
    assert "Its reward model learned from 40 rankings: 75 % simulated (form), 25 % people." in text
    assert text.endswith(
        "Wins by gold: 0.750 [0.500, 0.875] on 8 prompts; "
        "by the reward model: 0.500 [0.250, 0.750] on 8 prompts.\n"
    )
    assert all(len(line) <= 110 for line in text.splitlines() if line.startswith("|")), "for a console"


def test_rules_that_are_not_asked_are_counted_apart_and_none_asked_is_said():
    off: dict[str, Any] = dict.fromkeys(BOUNDS) | dict.fromkeys(("red_team", "validated", "traced"), False)
    assert decide(off)["passed"]
    assert render_verdict(decide(off)).startswith(
        "**Gates PASSED**: no rule is asked, against SFT: there is no champion yet."
    )
    some = render_verdict(decide({"max_kl_per_response_nats": None, "validated": False}))
    assert some.startswith("**Gates PASSED**: 8 of 8 asked rules are met; 2 not asked, against SFT")


@pytest.mark.parametrize(
    ("rate", "low", "high", "words"),
    [
        (
            0.75,
            0.6,
            0.9,
            "The candidate is better than SFT: by gold, better on 65, the same on 20 and worse on 15",
        ),
        (
            0.5,
            0.4,
            0.6,
            "not show whether the candidate or SFT is better: by gold, better on 40, the same on 20",
        ),
        (
            0.25,
            0.15,
            0.35,
            "**The candidate is worse than SFT**: by gold, better on 15, the same on 20 and worse",
        ),
    ],
)
def test_the_verdict_says_which_model_is_better_whatever_the_rule_on_wins_asks(
    rate: float, low: float, high: float, words: str
):
    wins: dict[str, Any] = {"gold": {"rate": rate, "low": low, "high": high, "n": 100, "ties": 0.2}}
    text = render_verdict(decide({"min_win_rate": 0.0}, wins=wins | {"reward_model": None}))
    assert text.startswith("**Gates PASSED**: 9 of 9 asked rules are met; 1 not asked, against SFT")
    assert words in text
    assert "`min_win_rate: 0` asks only for a win rate that is surely 0 or more" in text
    asked = render_verdict(decide({"min_win_rate": 0.5}, wins=wins | {"reward_model": None}))
    assert "asks only for" not in asked


def response(model: str, number: int, gold: float | None, score: float) -> EvaluatedResponse:
    prompt = Prompt(id=f"p{number}", messages=(Message(role="user", content="?"),), user="u", source="test")
    marks = {"passed": None, "made_up": None, "over_refused": None}
    return EvaluatedResponse(
        id=f"{model}-p{number}",
        prompt=prompt,
        model=model,
        response="a",
        tokens=1,
        ended=True,
        score=score,
        gold=gold,
        **marks,
    )


def test_responses_are_compared_by_prompt_and_wins_counted_by_gold_and_by_the_reward_model():
    mine = [
        response("policy", n, gold, score)
        for n, gold, score in ((1, 1.0, 0.0), (2, 1.0, 0.0), (3, 0.0, 1.0), (9, 9.0, 9.0))
    ]
    theirs = [response("sft", n, 0.0, 0.5) for n in (3, 2, 1)]
    wins = compare_responses(mine, theirs)
    assert (wins["gold"]["n"], wins["gold"]["rate"], wins["gold"]["ties"]) == (
        3,
        pytest.approx(2.5 / 3, abs=1e-6),
        pytest.approx(1 / 3, abs=1e-6),
    )
    assert wins["reward_model"]["rate"] == pytest.approx(1 / 3, abs=1e-6)
    assert compare_responses(mine, [response("sft", 1, None, 0.5)])["gold"] is None, (
        "gold judges only if every response has a gold score"
    )


def test_a_behaviour_that_one_model_lacks_cannot_decline():
    assert behaviour_declines(
        {"behaviours": {"fact": {"passed": 0.5}}},
        {"behaviours": {"fact": {"passed": 0.75}, "gone": {"passed": 1.0}}},
    ) == {"fact": 0.25}
