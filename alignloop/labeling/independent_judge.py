"""Who is better where there is no ground truth: by a judge that training cannot reach.

The reward model's scores are what PPO raises, so its win rate says little. A judge model behind an endpoint,
or the reward model of held-out labelers, has taught nothing and chosen no checkpoint.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alignloop.core import parallel_passes
from alignloop.core.checkpoint_folder import load_tokenizer
from alignloop.core.metrics import win_rate
from alignloop.core.models import context_of
from alignloop.core.reward_model import HELD_OUT
from alignloop.core.reward_scoring import score
from alignloop.core.tokens import encode_prompt, encode_response, pad_of
from alignloop.labeling.llm_judge import Judge
from alignloop.labeling.pairwise_judge import JudgedPair, judge_pairs, report
from alignloop.params.evaluate import IndependentJudge
from alignloop.phases import phase
from alignloop.records import EvaluatedResponse
from alignloop.training.encoding import chat
from alignloop.training.held_out_model import load_held_out_model

CACHE = Path(".cache", "judge")


@dataclass(frozen=True)
class IndependentWins:
    """The win rates by the judge's name in reports, what it was asked and said, and how many requests."""

    wins: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    pairs: list[JudgedPair] = field(default_factory=list[JudgedPair])
    calls: int = 0


def independent_wins(
    seed: int,
    plan: IndependentJudge,
    reward: Path,
    mine: Sequence[EvaluatedResponse],
    theirs: Sequence[EvaluatedResponse],
) -> IndependentWins:
    """How often the first model's responses are better, by the judge of `evaluate.judge`.

    Nothing where all responses have a ground-truth score, and where no judge, or people, are to say so.
    `reward_model_rate` is the win rate by the round's reward model on the same prompts.
    """
    if plan.by in ("none", "people") or all(each.gold is not None for each in (*mine, *theirs)):
        return IndependentWins()
    others = {response.prompt.id: response for response in theirs}
    both = [each for each in mine if each.prompt.id in others]
    if plan.by == "held_out":
        with phase("held-out reward model"):
            mine_scores, their_scores = (held_out_scores(reward, each) for each in (both, _of(both, others)))
            found = win_rate(mine_scores, their_scores).as_dict()
        return IndependentWins({"held_out_model": {**found, "reward_model_rate": _proxy(both, others)}})
    both = both[: plan.prompts]
    # one process asks for all: several would send every request as often
    asked = _ask(seed, plan, both, _of(both, others)) if parallel_passes.is_writer() else ([], 0)
    lines, calls = parallel_passes.agreed(asked)
    pairs = [JudgedPair.model_validate_json(line) for line in lines]
    wins = {"judge_model": {**report(pairs), "reward_model_rate": _proxy(both, others)}}
    return IndependentWins(wins, pairs, calls)


def _ask(
    seed: int,
    plan: IndependentJudge,
    mine: Sequence[EvaluatedResponse],
    theirs: Sequence[EvaluatedResponse],
) -> tuple[list[str], int]:
    """What the judge model says of each pair, as JSON, and the requests that were sent."""
    judge = Judge(
        plan.url,
        plan.name,
        plan.max_concurrency,
        seed,
        CACHE,
        section="evaluate.judge",
        max_calls=plan.max_calls,
    )
    with phase("judge model"):
        pairs = judge_pairs(judge, mine, theirs)
    return [pair.model_dump_json() for pair in pairs], judge.calls


def _of(mine: Sequence[EvaluatedResponse], others: dict[str, EvaluatedResponse]) -> list[EvaluatedResponse]:
    return [others[each.prompt.id] for each in mine]


def _proxy(mine: Sequence[EvaluatedResponse], others: dict[str, EvaluatedResponse]) -> float:
    return win_rate([each.score for each in mine], [each.score for each in _of(mine, others)]).rate


def held_out_scores(reward: Path, responses: Sequence[EvaluatedResponse]) -> list[float]:
    """Scores by the reward model of held-out labelers, which is beside the round's reward model."""
    model = load_held_out_model(reward, "evaluate.judge.by: held_out")
    tokenizer = load_tokenizer(reward / HELD_OUT)
    context = context_of(model.trunk)
    rows = [
        encode_prompt(tokenizer, chat(each.prompt.messages)) + encode_response(tokenizer, each.response)
        for each in responses
    ]
    return score(model, [row[:context] for row in rows], pad_of(tokenizer)).tolist()
