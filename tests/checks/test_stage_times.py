"""Seconds by stage, worked by hand from rates that are easy to divide by."""

import pytest

from alignloop.checks.data_lengths import SetLengths
from alignloop.checks.stage_times import ADAPTER_SHARE, durations
from alignloop.checks.step_time import Rates
from alignloop.params import Params

RATES = Rates(learned=10.0, read=100.0, drawn=50.0, learned_otherwise=10.0, step=0.5)
SETS = {
    "prompts": SetLengths(400, tokens=20.0),
    "demonstrations": SetLengths(80, tokens=30.0, response=10.0),
    "corpus": SetLengths(50, tokens=200.0),
}
COUNTS = {"demonstrations/train": 80, "demonstrations/valid": 10, "rankings/train": 40, "rankings/valid": 8}


def changed(params: Params, **sections: dict[str, object]) -> Params:
    """These parameters with other values in some sections."""
    update = {name: getattr(params, name).model_copy(update=keys) for name, keys in sections.items()}
    return params.model_copy(update=update)


def test_evaluation_counts_all_that_it_reads_and_draws(params: Params) -> None:
    plan = changed(
        params,
        decoding={"max_new_tokens": 40, "responses_per_batch": 64},
        evaluate={"prompts": 100, "documents": 50, "rankings": 1000},
        sample={"responses_per_prompt": 4, "valid_prompts": 12},
    )
    first = next(each for each in params.rounds.values() if each.policy == "models/sft")
    plan = plan.model_copy(update={"rounds": {"r1": first}})
    found = durations(plan, RATES, SETS, COUNTS)["evaluate"]
    steps = 2 * 40 * 0.5  # of two batches, until the longest response ends
    base = 100 * (40 / 50 + 20 / 100) + steps
    sft_and_policy = 2 * (100 * (10 / 50 + 20 / 100) + steps)
    scores = 100 * (60 + 2 * 30) / 100
    documents, kl, rankings = 3 * 50 * 200 / 100, 100 * 30 / 100, (12 + 8) * (20 + 4 * 10) / 100
    assert found == pytest.approx(base + sft_and_policy + scores + documents + kl + rankings)

    judged = changed(plan, evaluate={"judge": plan.evaluate.judge.model_copy(update={"by": "held_out"})})
    assert durations(judged, RATES, SETS, COUNTS)["evaluate"] == pytest.approx(found + 2 * 100 * 30 / 100)
    best = changed(plan, evaluate={"best_of": [2, 8]})
    more = 800 * (10 / 50 + 20 / 100) + 13 * 40 * 0.5 + 800 * 30 / 100
    assert durations(best, RATES, SETS, COUNTS)["evaluate"] == pytest.approx(found + more)


def test_a_second_reward_model_and_adapters_change_what_is_learned(params: Params) -> None:
    plan = changed(
        params,
        reward={"epochs": 1.0, "held_out_model": False, "lora": None},
        sample={"responses_per_prompt": 4, "prompts": 60, "valid_prompts": 12},
    )
    one = durations(plan, RATES, SETS, COUNTS)["reward"]
    assert one == pytest.approx(100 * 60 / 10 + 80 * 30 / 100 + 20 * 60 / 100)
    both = changed(plan, reward={"held_out_model": True})
    assert durations(both, RATES, SETS, COUNTS)["reward"] == pytest.approx(one + 20 * 60 / 10 + 80 * 30 / 100)
    adapted = changed(plan, reward={"lora": {"rank": 4, "alpha": 8}})
    less = one - (1 - ADAPTER_SHARE) * 100 * 60 / 10
    assert durations(adapted, RATES, SETS, COUNTS)["reward"] == pytest.approx(less)


def test_without_data_the_stages_that_hang_on_it_are_left_out(params: Params) -> None:
    plan = params.model_copy(update={"label": params.label.model_copy(update={"kind": "imported"})})
    assert set(durations(plan, RATES, {}, {})) == {"ppo", "evaluate"}
    assert set(durations(plan, RATES, SETS, COUNTS)) == {"sft", "reward", "ppo", "evaluate"}
