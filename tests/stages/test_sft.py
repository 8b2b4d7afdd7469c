"""The stage `sft`: which checkpoint it keeps, what it reports, and what it learns from besides."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alignloop import params as parameters
from alignloop.core.models import load_policy
from alignloop.core.reward_model import RewardModel
from alignloop.data import record_files
from alignloop.params import ParamsError
from alignloop.params.binding import bind
from alignloop.records import Demonstration, Document, Message
from alignloop.stages.sft import sft
from alignloop.tracking.curve_figures import curves
from alignloop.training.checkpoints import Checkpoint
from alignloop.training.sft_validation import NoValidationPrompt

PROJECT = Path(__file__).parents[2]


def demonstration(number: int, answer: str) -> Demonstration:
    said = (Message(role="user", content=f"Is it {number}?"), Message(role="assistant", content=answer))
    return Demonstration(id=f"d{number}-{answer}", messages=said, user="u", labeler="l", source="test")


def run(
    root: Path, base: Path, valid: str = "Yes, it is.", **changes: Any
) -> tuple[dict[str, Any], list[dict[str, str]]]:
    values = parameters.load(PROJECT / "params.yaml").model_dump(by_alias=True)
    values["sft"] |= {
        "epochs": 4.0,
        "learning_rate": 3e-2,
        "demonstrations_per_step": 4,
        "validations": 4,
        **changes,
    }
    values["decoding"] |= {"max_new_tokens": 4}
    shown = root / "demonstrations"
    record_files.write(shown / "train.jsonl", [demonstration(n, "Yes, it is.") for n in range(12)])
    record_files.write(
        shown / "valid.jsonl", [demonstration(n, valid) for n in range(20, 24)] if valid else []
    )
    for split in ("train", "valid"):
        record_files.write(
            root / "corpus" / f"{split}.jsonl", [Document(id=split, text="The sea.", source="test")]
        )
    params = parameters.parse(values, "params.yaml")
    list(
        bind(sft, params)(
            Checkpoint.fresh(root, "sft"),
            base,
            shown,
            corpus=root / "corpus",
            out=root / "out",
            metrics=root / "sft.json",
            plots=root / "sft.csv",
        )
    )
    with (root / "sft.csv").open() as file:
        return json.loads((root / "sft.json").read_text()), list(csv.DictReader(file))


def test_the_checkpoint_is_the_one_of_least_validation_loss(tmp_path: Path, tiny_policy: Path) -> None:
    numbers, curve = run(tmp_path, tiny_policy)
    losses = {int(row["step"]): float(row["valid_loss"]) for row in curve if row["valid_loss"]}
    assert sorted(losses) == [3, 6, 9, 12]
    assert numbers["steps"] == 12
    assert numbers["chosen_step"] == min(losses, key=losses.__getitem__)
    opposed, other = run(tmp_path, tiny_policy, valid="Nobody knows who painted the door green.")
    losses = {int(row["step"]): float(row["valid_loss"]) for row in other if row["valid_loss"]}
    assert opposed["chosen_step"] == min(losses, key=losses.__getitem__) < 12, (
        "what it learns is not what is asked for"
    )
    assert opposed["valid_loss"] == pytest.approx(losses[opposed["chosen_step"]], rel=1e-4)


def test_checks_change_nothing_but_which_weights_are_kept(tmp_path: Path, tiny_policy: Path) -> None:
    for name, checks in (("once", 1), ("often", 4)):
        run(tmp_path / name, tiny_policy, validations=checks)
    assert (tmp_path / "once/out/model.safetensors").read_bytes() == (
        tmp_path / "often/out/model.safetensors"
    ).read_bytes()


def test_a_reward_model_of_an_earlier_run_chooses_where_it_is_given(
    tmp_path: Path, tiny_policy: Path
) -> None:
    policy, tokenizer = load_policy(tiny_policy)
    RewardModel.from_policy(policy, 0).save(tmp_path / "judge", tokenizer)
    numbers, curve = run(tmp_path, tiny_policy, reward_model=str(tmp_path / "judge"), validation_prompts=3)
    scores = {int(row["step"]): float(row["valid_score"]) for row in curve if row["valid_score"]}
    assert sorted(scores) == [3, 6, 9, 12]
    assert all(row["valid_loss"] for row in curve if row["valid_score"]), "both curves are there"
    figure = curves(tmp_path / "sft.csv")
    assert figure is not None
    drawn = {
        axes.get_title(loc="left"): np.asarray(axes.lines[-1].get_xdata()).tolist() for axes in figure.axes
    }
    assert drawn["valid loss"] == drawn["valid score"] == [3, 6, 9, 12], "and both are drawn"
    assert numbers["chosen_step"] == max(scores, key=scores.__getitem__)
    assert numbers["valid_score"] == pytest.approx(scores[numbers["chosen_step"]], rel=1e-4)
    with pytest.raises(NoValidationPrompt, match=r"sft\.reward_model: no validation demonstration"):
        run(tmp_path, tiny_policy, valid="", reward_model=str(tmp_path / "judge"))
    with pytest.raises(ParamsError, match="is made after SFT, by this very run"):
        run(tmp_path, tiny_policy, reward_model="models/r1/reward")


def test_further_demonstrations_and_packing_are_parameters(tmp_path: Path, tiny_policy: Path) -> None:
    record_files.write(tmp_path / "more.jsonl", [demonstration(n, "No.") for n in range(4)])
    numbers, curve = run(tmp_path / "a", tiny_policy, extra_demonstrations=str(tmp_path / "more.jsonl"))
    assert (numbers["demonstrations"], numbers["steps"]) == (16, 16)
    _, packed = run(
        tmp_path / "b", tiny_policy, extra_demonstrations=str(tmp_path / "more.jsonl"), packing=True
    )
    assert [float(row["loss"]) for row in packed] == pytest.approx(
        [float(row["loss"]) for row in curve], rel=1e-3
    )


def test_without_validation_the_last_weights_are_kept(tmp_path: Path, tiny_policy: Path) -> None:
    numbers, _ = run(tmp_path, tiny_policy, valid="")
    assert (numbers["chosen_step"], numbers["valid_loss"]) == (12, None)
