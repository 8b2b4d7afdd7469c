"""The stage `dpo`: a policy from rankings by each loss, its numbers, guards, references and bad rankings."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from alignloop.core.dpo_config import NothingToLearn
from alignloop.core.guards import GuardTripped
from alignloop.core.models import load_policy
from alignloop.data.record_files import read, write
from alignloop.records import LABELS, BinaryLabel, Ranking, Rollout
from tests.stages.loop import Loop, tiny


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory, tiny_policy: Path) -> Loop:
    loop = Loop(tmp_path_factory.mktemp("loop"), tiny_policy)
    loop.sft(tiny(sft={"epochs": 4.0}))
    loop.reward(tiny())
    return loop


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize("loss", ["dpo", "ipo", "kto", "ranking"])
def test_each_loss_learns_the_rankings_and_reports_what_the_guards_saw(loop: Loop, loss: str):
    plan = {"loss": loss, "epochs": 4.0, "learning_rate": 3e-3, "beta_score_per_nat": 0.5}
    steps = loop.dpo(tiny(dpo=plan), loss)
    numbers, last = loop.numbers(loss), steps[-1].metrics
    assert [step.step for step in steps] == list(range(1, 13)), "12 rankings, 4 a step, 4 epochs"
    assert last["valid_accuracy"] == 1.0
    assert last["valid_loss"] < steps[5].metrics["valid_loss"]
    assert "valid_loss" not in steps[4].metrics
    assert {"score", "kl", "entropy", "length", "ended", "distinct_2", "ptx_loss"} <= set(last)
    assert ("unrelated_kl" in last) == (loss == "kto")
    assert numbers["chosen_step"] == 12
    assert numbers["final_valid_loss"] == last["valid_loss"]
    assert numbers["rankings"] == 12
    drawn = read(loop.root / f"{loss}-rollouts" / "rollouts.jsonl", Rollout)
    assert [each.step for each in drawn] == [6] * 8 + [12] * 8
    assert all(each.round == "r1" for each in drawn)
    load_policy(loop.root / loss)
    header, *rows = (loop.root / f"{loss}.csv").read_text().splitlines()
    assert header.startswith("step,loss,accuracy,margin,better_log_ratio")
    assert len(rows) == 12


def test_kto_learns_from_binary_labels_and_other_losses_and_the_reward_model_count_them(
    loop: Loop, tmp_path: Path
):
    folder = loop.root / "rankings" / "r1" / LABELS
    ranked = read(loop.root / "rankings" / "r1", Ranking)
    about: dict[str, Any] = {"labeler": "l", "by": "person", "policy": "models/sft", "round": "chat"}
    labels = [
        BinaryLabel(
            id=f"b{place}-{good}", prompt=each.prompt, response=text, good=good, split=each.split, **about
        )
        for place, each in enumerate(ranked)
        for text, good in ((each.responses[2], True), (each.responses[0], False))
    ]
    plan = {"epochs": 4.0, "learning_rate": 3e-3, "beta_score_per_nat": 0.5}
    try:
        write(folder / "imported.jsonl", labels)
        steps = loop.dpo(tiny(dpo={**plan, "loss": "kto"}), "labelled")
        assert [step.step for step in steps][-1] == 36, "12 rankings and 24 labels, 4 a step, 4 epochs"
        numbers = loop.numbers("labelled")
        assert (numbers["rankings"], numbers["labels"]) == (12, 24)
        assert "labels_left_out" not in numbers
        first = loop.dpo(tiny(dpo={**plan, "loss": "dpo"}), "unlabelled")[0]
        assert (
            first.note
            == "32 binary labels are left out: loss: dpo learns from rankings alone, kto from labels too"
        )
        numbers = loop.numbers("unlabelled")
        assert (numbers["rankings"], numbers["labels_left_out"]) == (12, 32)
        shutil.copytree(folder, loop.root / "rankings" / LABELS)  # which the reward model's stage reads here
        notes = [step.note for step in loop.reward(tiny())]
        assert "32 binary labels are left out: they order no two responses" in notes
        assert loop.numbers("reward")["labels_left_out"] == 32
        # labels alone: the policy learns which responses are good
        write(folder / "imported.jsonl", [each for each in labels if each.split == "train"])
        ties = [each.model_copy(update={"ranks": (1, 1, 1)}) for each in ranked if each.split == "train"]
        write(loop.root / "rankings" / "r1" / "r1.jsonl", ties)
        last = loop.dpo(tiny(dpo={**plan, "loss": "kto", "ptx_coef": 0.0}), "alone")[-1].metrics
        assert last["loss"] < 0.8 * 24 / 36 * 0.5, "half of 24 of 36 elements before anything is learned"
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(loop.root / "rankings" / LABELS, ignore_errors=True)
        write(loop.root / "rankings" / "r1" / "r1.jsonl", ranked)


def test_adapters_learn_alone_and_the_reference_is_the_policy_without_them(loop: Loop):
    lora = {"lora": {"rank": 4, "alpha": 8}, "learning_rate": 3e-3}
    by_adapter = loop.dpo(tiny(dpo={**lora, "reference": "adapter"}), "by-adapter")
    by_start = loop.dpo(tiny(dpo={**lora, "reference": "start"}), "by-start")
    assert [step.metrics for step in by_adapter] == [step.metrics for step in by_start]
    assert weights(loop.root / "by-adapter") == weights(loop.root / "by-start")
    assert weights(loop.root / "by-adapter") != weights(loop.root / "sft")
    _, tokenizer = load_policy(loop.root / "by-adapter")  # adapters are merged: any loader reads it
    assert len(tokenizer)


def test_guards_stop_with_the_best_policy_within_limits_or_fail_with_none(loop: Loop):
    def plan(strength: str) -> dict[str, Any]:
        guards = {"max_kl_per_response_nats": {"limit": -99.0, "strength": strength}}
        return {"guards": guards, "epochs": 2.0, "validations": 6}

    steps = loop.dpo(tiny(dpo=plan("stop")), "stopped")
    assert len(steps) == 1
    assert steps[-1].note.startswith("stop: dpo.guards.max_kl_per_response_nats: kl ")
    assert "(step 1, mean of 1 validations): the policy is far" in steps[-1].note
    numbers = loop.numbers("stopped")
    assert numbers["first_step_beyond"] == {"max_kl_per_response_nats": 1}
    assert numbers["chosen_step"] == 0
    assert weights(loop.root / "stopped") == weights(loop.root / "sft"), "nothing else was within the limit"
    with pytest.raises(GuardTripped, match=r"^dpo\.guards\.max_kl_per_response_nats: kl "):
        loop.dpo(tiny(dpo=plan("fail")), "failed")
    assert not (loop.root / "failed").exists()
    warned = loop.dpo(tiny(dpo=plan("warn")), "warned")
    assert len(warned) == 6
    assert [bool(step.note) for step in warned] == [True] + [False] * 5, "said once"


def test_the_best_weights_count_or_the_last_and_ties_alone_are_an_error(
    loop: Loop, tmp_path: Path, tiny_policy: Path
):
    other = Loop(tmp_path / "other", tiny_policy)
    for name in ("sft", "reward"):
        (other.root / name).symlink_to(loop.root / name)
    file = other.root / "rankings" / "r1" / "r1.jsonl"
    rankings = [each for each in read(file, Ranking) if each.split == "train"]
    turned = [each.model_copy(update={"split": "valid", "ranks": (3, 2, 1)}) for each in rankings[:4]]
    write(file, [*rankings, *turned])
    other.dpo(tiny(dpo={"validations": 3}))
    assert other.numbers("policy")["chosen_step"] == 1, (
        "what it learns makes the validation rankings unlikely"
    )
    write(file, rankings)
    other.dpo(tiny())
    numbers = other.numbers("policy")
    assert (numbers["chosen_step"], numbers["steps"], numbers["final_valid_loss"]) == (3, 3, None)
    write(file, [each.model_copy(update={"ranks": (1, 1, 1)}) for each in rankings])
    with pytest.raises(NothingToLearn, match=r"rankings/r1: all 12 rankings to learn from are ties"):
        other.dpo(tiny(), "tied")
    assert not (other.root / "tied").exists()
    assert json.loads((other.root / "policy.json").read_text()) == numbers
