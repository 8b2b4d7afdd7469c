"""What the stage `evaluate` reports follows from its responses: by gold score, or by the reward model where
there is none.
"""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from alignloop.core.models import context_of, load_policy
from alignloop.core.reward_model import RewardModel
from alignloop.data.record_files import read, write
from alignloop.evaluation.results_table import headline_of
from alignloop.params.binding import bind
from alignloop.records import Document, EvaluatedResponse, Prompt, Ranking, Rollout
from alignloop.stages.evaluate import evaluate
from alignloop.training.encoding import ranked_rows
from alignloop.world.builder import make_world
from alignloop.world.gold import judge
from tests.stages.loop import QUESTIONS, said, tiny

SMALL = {
    "facts": 40,
    "users": 4,
    "prompts": 24,
    "demonstrations": 1,
    "documents": 1,
    "truth": 0.75,
    "demonstration_quality": 0.65,
    "documented": None,
    "code": 0.0,
}

REPLIES = ("Yes.", "Sorry, I cannot help with that.", "")


def people() -> list[Prompt]:
    return [
        Prompt(id=f"p{n}", messages=(said("user", QUESTIONS[n % 4]),), user="u", source="s")
        for n in range(12)
    ]


def world() -> list[Prompt]:
    return make_world(1, tiny(ingest={"world": SMALL}).ingest.world).prompts[:12]


def run(root: Path, policy: Path, prompts: list[Prompt]) -> tuple[dict[str, Any], list[EvaluatedResponse]]:
    """Evaluate a policy that is SFT itself; the report, and the responses that it is about."""
    sft, tokenizer = load_policy(policy)
    RewardModel.from_policy(sft, 1).save(root / "reward", tokenizer)
    write(root / "prompts" / "test.jsonl", prompts)
    write(root / "prompts" / "train.jsonl", prompts[:1])
    write(root / "corpus" / "valid.jsonl", [Document(id="t", text="Yes, it is.", source="s")])
    about: dict[str, Any] = {
        "labeler": "l",
        "kind": "panel",
        "policy": "models/sft",
        "round": "r1",
        "split": "valid",
    }
    ranked = [
        Ranking(id=f"k{n}", prompt=each, responses=REPLIES, ranks=(1, 2, 3), **about)
        for n, each in enumerate(prompts)
    ]
    write(root / "rankings" / "r1.jsonl", ranked)
    write(root / "rollouts" / "rollouts.jsonl", list[Rollout]())
    models = dict.fromkeys(("base", "sft", "before", "policy"), policy)
    places = {name: root / name for name in ("reward", "prompts", "corpus", "rankings", "rollouts", "out")}
    written = {
        "headline": root / "headline.json",
        "metrics": root / "evaluate.json",
        "plots": root / "curve.csv",
    }
    list(bind(evaluate, tiny())("r1", **models, **places, **written))
    report = json.loads(written["metrics"].read_text())
    assert json.loads(written["headline"].read_text()) == headline_of(report)
    return report, read(root / "out" / "responses.jsonl", EvaluatedResponse)


@pytest.mark.parametrize("prompts", [people, world])
def test_a_report_says_what_its_answers_say(prompts: Any, tmp_path: Path, tiny_policy: Path):
    report, answers = run(tmp_path, tiny_policy, prompts())
    by_gold = prompts is world
    worth = {"policy": list[float](), "sft": list[float](), "base": list[float]()}
    for each in answers:
        assert (each.gold is not None) == by_gold
        worth[each.model].append(each.score if each.gold is None else each.gold)
    pairs = list(zip(worth["policy"], worth["sft"], strict=True))
    assert len(pairs) > 6, "some of the world's are too long for so small a model"
    assert report["models"]["policy"]["too_long"] == len(prompts()) - len(pairs), "and they are counted"
    wins = report["win_rates"]
    assert wins["judged_by_gold"] == by_gold
    won = [(mine > theirs) + (mine == theirs) / 2 for mine, theirs in pairs]
    assert wins["policy_vs_sft"]["rate"] == pytest.approx(sum(won) / len(won))
    assert wins["policy_vs_before"] == wins["policy_vs_sft"], "before the first round stands SFT"
    assert report["models"]["policy"]["gold"] == (
        pytest.approx(sum(worth["policy"]) / len(won)) if by_gold else None
    )


def test_a_policy_that_is_sft_is_no_way_from_it_and_pays_no_tax(tmp_path: Path, tiny_policy: Path):
    report, _ = run(tmp_path, tiny_policy, people())
    assert report["kl_to_sft_nats"] == pytest.approx(0, abs=1e-4)
    assert report["models"]["policy"]["perplexity"] == report["models"]["sft"]["perplexity"]


def test_the_reward_model_is_held_against_labelers_and_gold_beside_their_own_agreement(
    tmp_path: Path, tiny_policy: Path
):
    told = run(tmp_path, tiny_policy, world())[0]["reward_model"]
    policy, tokenizer = load_policy(tiny_policy)
    ranked, _ = ranked_rows(tokenizer, read(tmp_path / "rankings", Ranking), context_of(policy))
    assert (told["pairs"], told["too_long"]) == (3 * len(ranked), 12 - len(ranked))
    golds = [[judge(each.prompt, answer).score for answer in each.responses] for each, _ in ranked]
    pairs = [
        (mine > theirs) + (mine == theirs) / 2 for scores in golds for mine, theirs in combinations(scores, 2)
    ]
    assert len(pairs) == told["pairs"], (
        "the labelers' pairs, as for the reward model, whether gold tells them apart or not"
    )
    assert told["labelers_agreement_gold"] == pytest.approx(sum(pairs) / len(pairs)), (
        "they rank them as they stand"
    )
    assert 0.5 < told["labelers_agreement_gold"] < 1, "who asks for harm should be refused"
    told = run(tmp_path / "people", tiny_policy, people())[0]["reward_model"]
    assert (told["pairs"], told["accuracy_gold"], told["labelers_agreement_gold"]) == (36, None, None)
