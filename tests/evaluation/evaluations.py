"""The metrics of a round's evaluation, for tests of what is made of them."""

from typing import Any

BEHAVIOURS = {"fact": 0.25, "false_premise": 0.5}


def model(gold: float | None) -> dict[str, Any]:
    shares = {
        "made_up": None if gold is None else 0.5 - gold / 10,
        "over_refused": None if gold is None else 0.25,
        "score": 0.5,
        "length": 12.25,
        "ended": 1.0,
        "distinct_1": 0.1,
    }
    behaviours = {
        name: {"n": 10, "passed": None if gold is None else share, "gold": gold}
        for name, share in BEHAVIOURS.items()
    }
    rest = {"distinct_2": 0.5, "distinct_responses": 0.75, "perplexity": 6.5, "behaviours": behaviours}
    return {"gold": gold, "passed": None if gold is None else 0.375, **shares, **rest}


def win(rate: float) -> dict[str, float]:
    return {"rate": rate, "low": rate - 0.0625, "high": rate + 0.03125, "n": 1000, "ties": 0.25}


def evaluation(gold: float | None = 1.5, rate: float = 0.625) -> dict[str, Any]:
    """What `evaluate` writes; in binary fractions, so that sums are exact."""
    wins = {
        "sft_vs_base": win(0.75),
        "policy_vs_base": win(0.875),
        "policy_vs_sft": win(rate),
        "policy_vs_before": win(0.5625),
    }
    reward = {
        "pairs": 8,
        "accuracy_labelers": 0.7,
        "accuracy_gold": None if gold is None else 0.8,
        "labelers_agreement_gold": None,
    }
    return {
        "models": {
            "base": model(None if gold is None else -1.0),
            "sft": model(None if gold is None else 0.5),
            "policy": model(gold),
        },
        "win_rates": {**wins, "policy_vs_sft_length_controlled": 0.6, "judged_by_gold": gold is not None},
        "kl_to_sft_nats": 3.25,
        "reward_model": {**reward, "behaviours": {}},
    }
