"""The stage `reward` on rankings by hand: what it reports, what it leaves behind, and what params.yaml may
ask of it.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from alignloop import params as parameters
from alignloop.core.models import context_of, load_policy
from alignloop.core.reward_model import HELD_OUT, RewardModel
from alignloop.core.reward_scoring import score
from alignloop.core.tokens import pad_of
from alignloop.data import record_files
from alignloop.params import ParamsError
from alignloop.params.binding import bind
from alignloop.records import Demonstration, Message, Prompt, Ranking
from alignloop.stages.reward import reward
from alignloop.training.checkpoints import Checkpoint
from alignloop.training.encoding import demonstration_rows

PROJECT = Path(__file__).parents[2]


def ranking(number: int, split: str, labeler: str, ranks: tuple[int, ...] = (1, 2, 3)) -> Ranking:
    asked = Prompt(
        id=f"p{number}",
        messages=(Message(role="user", content="Is it?"),),
        user=f"u{number}",
        category="ab"[number % 2],
        source="test",
    )
    answers = tuple(f"{word}{' salt' * (number % 3)}" for word in ("Yes", "No", "Who"))
    common: dict[str, Any] = {
        "prompt": asked,
        "responses": answers,
        "kind": "panel",
        "policy": "models/sft",
        "round": "r1",
        "split": split,
    }
    return Ranking(id=f"r{number}", ranks=ranks, labeler=labeler, **common)


RANKINGS = [
    *(ranking(n, "train", "labeler-1") for n in range(24)),
    *(ranking(n, "valid", "labeler-2") for n in range(24, 30)),
    *(ranking(n, "valid", "labeler-1", (1, 1, 2)) for n in range(30, 34)),
]


def run(root: Path, policy: Path, start: Path | None = None, **changes: Any) -> dict[str, Any]:
    values = parameters.load(PROJECT / "params.yaml").model_dump(by_alias=True)
    values["reward"] |= {"learning_rate": 1e-2, "epochs": 4.0, **changes}
    params = parameters.parse(values, "params.yaml")
    record_files.write(root / "rankings" / "r1.jsonl", RANKINGS)
    record_files.write(
        root / "demonstrations" / "train.jsonl",
        [
            Demonstration(
                id=f"d{n}",
                messages=(
                    Message(role="user", content="Is it?"),
                    Message(role="assistant", content="Yes" * n),
                ),
                user="u",
                labeler="l",
                source="test",
            )
            for n in range(1, 9)
        ],
    )
    places = (root / name for name in ("rankings", "demonstrations", "out", "reward.json", "reward.csv"))
    list(bind(reward, params)(Checkpoint.fresh(root, "reward"), "r1", policy, start or policy, *places))
    return json.loads((root / "reward.json").read_text())


def test_the_report_tells_users_labelers_distances_and_categories_apart(
    tmp_path: Path, tiny_policy: Path
) -> None:
    numbers = run(tmp_path, tiny_policy)
    report = numbers["agreement"]
    assert (numbers["rankings"], numbers["valid_rankings"], numbers["valid_pairs"]) == (24, 10, 6 * 3 + 4 * 2)
    assert {name: group["pairs"] for name, group in report["labelers"].items()} == {
        "held_out": 18,
        "known": 8,
    }
    assert {name: group["pairs"] for name, group in report["rank_distance"].items()} == {
        "1": 6 * 2 + 4 * 2,
        "2": 6,
    }
    assert {name: group["pairs"] for name, group in report["categories"].items()} == {"a": 13, "b": 13}
    assert report["users"]["accuracy"] == numbers["valid_accuracy"] == pytest.approx(1.0), (
        "it has learned the order"
    )
    assert sum(each["pairs"] for each in report["calibration"]["bins"]) == 26
    assert set(report["length_correlation"]) == {"score", "labelers"}
    assert numbers["scale"] == 1


def test_a_gain_is_in_the_checkpoint_and_changes_no_order_and_no_chance(
    tmp_path: Path, tiny_policy: Path
) -> None:
    plain, scaled = (
        run(tmp_path / "a", tiny_policy),
        run(tmp_path / "b", tiny_policy, normalise_variance=True),
    )
    assert scaled["scale"] != 1
    errors = [each["agreement"]["calibration"]["expected_error"] for each in (scaled, plain)]
    assert errors[0] == pytest.approx(errors[1], abs=1e-4)
    policy, tokenizer = load_policy(tiny_policy)
    examples, _ = demonstration_rows(
        tokenizer,
        record_files.read(tmp_path / "b" / "demonstrations" / "train.jsonl", Demonstration),
        "last",
        context_of(policy),
    )
    scores = score(RewardModel.load(tmp_path / "b" / "out"), [row.ids for row in examples], pad_of(tokenizer))
    assert [float(scores.mean()), float(scores.std(correction=0))] == pytest.approx([0, 1], abs=1e-4)


def test_ties_that_are_learned_from_need_a_margin(tmp_path: Path, tiny_policy: Path) -> None:
    with pytest.raises(ParamsError, match=r"reward: ties: rao_kupper needs a margin above 0"):
        run(tmp_path, tiny_policy, ties="rao_kupper")
    assert run(tmp_path, tiny_policy, ties="rao_kupper", margin=0.5)["valid_accuracy"] == 1


def test_it_goes_on_from_an_earlier_reward_model_and_its_witness_never_does(
    tmp_path: Path, tiny_policy: Path
) -> None:
    run(tmp_path / "earlier", tiny_policy, held_out_model=True)
    earlier = tmp_path / "earlier" / "out"
    fresh = run(tmp_path / "fresh", tiny_policy, learning_rate=1e-9, held_out_model=True)
    further = run(tmp_path / "further", tiny_policy, start=earlier, learning_rate=1e-9, held_out_model=True)
    assert further["valid_accuracy"] == 1 > fresh["valid_accuracy"], (
        "it knows what the earlier one learned, and a fresh one cannot yet"
    )
    assert further["normalisation"] == pytest.approx(0, abs=1e-5), "demonstrations have mean 0 already"
    witness = [
        (tmp_path / name / "out" / HELD_OUT / "model.safetensors").read_bytes()
        for name in ("fresh", "further")
    ]
    assert witness[0] == witness[1], (
        "the held-out one has seen no ranking that the other learns from, not even an earlier round's"
    )
