"""What the stage `sample` draws: as many prompts as are asked for, or it says that there are fewer."""

import json
from pathlib import Path
from typing import Any

import pytest

from alignloop.core.label_choice import disagreement, most_wanted
from alignloop.core.models import load_policy
from alignloop.core.reward_model import RewardModel
from alignloop.core.reward_scoring import score
from alignloop.core.tokens import encode_prompt, encode_response, pad_of
from alignloop.data.record_files import read
from alignloop.params.binding import bind
from alignloop.records import Samples
from alignloop.stages.sample import sample
from alignloop.training.encoding import chat
from tests.stages.loop import Loop, tiny


@pytest.mark.parametrize(
    ("asked", "drawn", "told"),
    [
        ({"prompts": 16, "valid_prompts": 16}, 32, ""),
        (
            {"prompts": 17, "valid_prompts": 3},
            19,
            "sample.prompts asks for 17, and there are 16: lower it, or bring more",
        ),
        (
            {"prompts": 3, "valid_prompts": 1600},
            19,
            "sample.valid_prompts asks for 1,600, and there are 16: lower it, or bring more",
        ),
    ],
)
def test_fewer_prompts_than_are_asked_for_are_told(
    asked: dict[str, Any], drawn: int, told: str, tmp_path: Path, tiny_policy: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("alignloop.stages.sample.PROMPTS_PER_CALL", 4)
    Loop(tmp_path, tiny_policy)
    out = tmp_path / "samples.jsonl"
    steps = list(
        bind(sample, tiny(sample={**asked, "responses_per_prompt": 2}))(
            "r1",
            tiny_policy,
            tmp_path / "prompts",
            out,
            tmp_path / "sample.json",
            tiny_policy,
        )
    )
    assert len(read(out, Samples)) == drawn
    assert [step.note for step in steps] == [told, *[""] * (len(steps) - 1)], "once"
    assert len(steps) > 2


def test_by_disagreement_the_least_decided_training_prompts_are_labeled_and_validation_stays_random(
    tmp_path: Path, tiny_policy: Path
) -> None:
    Loop(tmp_path, tiny_policy)
    policy, tokenizer = load_policy(tiny_policy)
    RewardModel.from_policy(policy, 3).save(tmp_path / "rm", tokenizer)
    plan = {"prompts": 4, "valid_prompts": 5, "responses_per_prompt": 3, "candidates": 2}

    def run(choose: str, reward: Path, prompts: int = 4) -> tuple[list[Samples], dict[str, Any], str]:
        params = tiny(sample={**plan, "choose": choose, "prompts": prompts})
        out, metrics = tmp_path / "samples.jsonl", tmp_path / "sample.json"
        steps = list(bind(sample, params)("r1", tiny_policy, tmp_path / "prompts", out, metrics, reward))
        return read(out, Samples), json.loads(metrics.read_text()), steps[0].note

    every, _, _ = run("random", tmp_path / "rm", prompts=8)
    chosen, numbers, note = run("disagreement", tmp_path / "rm")
    assert note == ""
    training = [each for each in every if each.split == "train"]
    kept = [each for each in chosen if each.split == "train"]
    assert [each for each in chosen if each.split == "valid"] == [e for e in every if e.split == "valid"]
    model = RewardModel.load(tmp_path / "rm")
    rows = [
        encode_prompt(tokenizer, chat(each.prompt.messages)) + encode_response(tokenizer, text)
        for each in training
        for text in each.responses
    ]
    scores = score(model, rows, pad_of(tokenizer)).view(8, 3)
    assert kept == [training[place] for place in most_wanted(scores, None, 4)]
    assert (numbers["prompts"], numbers["responses"], numbers["candidates"]) == (9, 27, 8)
    unsure = disagreement(scores)
    wanted = [unsure[training.index(each)].item() for each in kept]
    assert numbers["disagreement"] == pytest.approx(sum(wanted) / 4, abs=1e-5)
    assert numbers["disagreement_of_all"] == pytest.approx(unsure.mean().item(), abs=1e-5)

    first, numbers, note = run("disagreement", tiny_policy)
    assert "is no reward model yet, so this round's prompts are random" in note
    assert first == run("random", tiny_policy)[0]
    assert "candidates" not in numbers
