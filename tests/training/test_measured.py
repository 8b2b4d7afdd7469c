"""Where there is too much to measure, evenly spread items are, and a note says so."""

from itertools import pairwise
from pathlib import Path

import pytest

from alignloop.core.batches import spread
from alignloop.core.tokens import train_tokenizer
from alignloop.training.measured import spread_note
from tests.stages.loop import ANSWERS, QUESTIONS, Loop, tiny
from tests.stages.test_any_checkpoint import make


@pytest.mark.parametrize("most", range(1, 12))
@pytest.mark.parametrize("length", range(9))
def test_items_are_evenly_spread_in_their_order_and_none_is_there_twice(length: int, most: int):
    items = list(range(length))
    chosen = spread(items, most)
    assert len(chosen) == min(length, most)
    assert chosen == sorted(set(chosen))
    assert chosen == items or chosen[0] == 0
    gaps = [after - before for before, after in pairwise([*chosen, length])]
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_a_note_is_there_only_where_something_is_left_out():
    assert spread_note("validated on", 10_000, "sft.valid_demonstrations", 10_000) == ""
    assert spread_note("validated on", 12_345, "sft.valid_demonstrations", 1000) == (
        "validated on 1,000 of 12,345, evenly spread (sft.valid_demonstrations)"
    )


def test_every_stage_says_what_it_measures_on_and_counts_it(tmp_path: Path):
    tokenizer = train_tokenizer([*QUESTIONS, *ANSWERS] * 3, 300)
    loop = Loop(tmp_path, make("llama", tokenizer, tmp_path / "checkpoint"))
    plan = tiny(
        pretrain={"valid_documents": 5},
        sft={"valid_demonstrations": 3},
        reward={"normalisation_demonstrations": 7, "valid_rankings": 2},
        evaluate={"prompts": 8, "documents": 4, "rankings": 3},
    )
    told = [*loop.pretrain(plan), *loop.sft(plan), *loop.reward(plan)]
    loop.ppo(plan)
    told += loop.next_round(plan, "policy")
    assert [step.note for step in told if "evenly spread" in step.note] == [
        "the loss is measured on documents 5 of 16, evenly spread (pretrain.valid_documents)",
        "validated on 3 of 4, evenly spread (sft.valid_demonstrations)",
        "normalised on demonstrations 7 of 16, evenly spread (reward.normalisation_demonstrations)",
        "accuracy is of validation rankings 2 of 4, evenly spread (reward.valid_rankings)",
        "the reward model is measured on rankings 3 of 7, evenly spread (evaluate.rankings)",
    ]
    assert loop.numbers("reward")["demonstrations"] == 7
    assert loop.numbers("reward")["agreement"]["users"]["pairs"] == 2 * 3
    assert loop.numbers("evaluate")["reward_model"]["pairs"] <= 3 * 3
