"""The reward model of a round, on every ranking known so far (arXiv 2505.18126: concatenate).

It goes on from the reward model of a round before, or begins as the SFT model with a new head.
"""

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

from alignloop.core.models import context_of, load_policy
from alignloop.core.reward import normalise, train
from alignloop.core.reward_model import HELD_OUT, RewardModel
from alignloop.core.tokens import pad_of
from alignloop.data.record_files import read
from alignloop.errors import AlignloopError
from alignloop.evaluation.reward_report import held_out_agreement
from alignloop.files import replacing, rounded, write_json
from alignloop.params import Params
from alignloop.progress import Progress
from alignloop.records import Demonstration, Ranking
from alignloop.seeds import draws, seed_of
from alignloop.training.checkpoints import Checkpoint
from alignloop.training.curves import write_curve
from alignloop.training.encoding import demonstration_rows, ranked_rows
from alignloop.training.resumable_loop import learn, points


class NoHeldOutRankings(AlignloopError):
    """There is nothing to train a held-out reward model on."""


def reward(
    params: Params,
    checkpoint: Checkpoint,
    round: str,
    sft: Path,
    start: Path,
    rankings: Path,
    demonstrations: Path,
    out: Path,
    metrics: Path,
    plots: Path,
) -> Iterator[Progress]:
    """Train a reward model on the rankings and normalise it on demonstrations."""
    plan = params.reward
    policy, tokenizer = load_policy(sft)
    context, pad = context_of(policy), pad_of(tokenizer)
    model = (
        RewardModel.from_policy(policy, seed_of(params.seed, "reward", round))
        if start == sft
        else RewardModel.load(start)
    )
    ranked, too_long = ranked_rows(tokenizer, read(rankings, Ranking), context)
    learned = [row for ranking, row in ranked if ranking.split == "train"]
    held_out = [row for ranking, row in ranked if ranking.split == "valid"]
    how = plan.model_dump(exclude={"gain", "held_out"})
    curve = checkpoint.journal("curve")
    yield from learn(
        train(model, learned, pad, **how, random=draws(params.seed, "reward", round, "order")),
        checkpoint,
        curve,
    )
    other = (
        RewardModel.from_policy(policy, seed_of(params.seed, "reward", round, HELD_OUT))
        if plan.held_out
        else None
    )
    if other:
        if not held_out:
            raise NoHeldOutRankings(
                f"{rankings}: reward.held_out needs rankings of validation prompts; raise sample.valid_prompts"
            )
        training = train(
            other, held_out, pad, **how, random=draws(params.seed, "reward", round, HELD_OUT, "order")
        )
        yield from learn(training, checkpoint, checkpoint.journal("held_out_curve"), "held_out_")
    examples, _ = demonstration_rows(
        tokenizer, read(demonstrations / "train.jsonl", Demonstration), "last", context
    )
    shift, scale = normalise(
        model, [example.ids for example in examples], pad, plan.gain
    )  # after all training: weights change
    if other:
        normalise(other, [example.ids for example in examples], pad, plan.gain)
    report = held_out_agreement(model, ranked, pad, scale, plan.margin if plan.ties == "rao_kupper" else 0.0)
    with replacing(out) as part:
        model.save(part, tokenizer)
        if other:
            other.save(part / HELD_OUT, tokenizer)
    counts = {
        "rankings": len(learned),
        "too_long": too_long,
        "valid_rankings": len(held_out),
        "valid_pairs": report["users"]["pairs"],
    }
    known = points(curve)
    last = known[-max(1, len(known) // 10) :]
    late = fmean(
        step["accuracy"] for _, step in last
    )  # of each step's rows, before it learns from them in this round
    accuracy = report["users"]["accuracy"]
    accuracies = {"train_accuracy": late, "valid_accuracy": accuracy}
    write_json(
        metrics,
        {**counts, **accuracies, "normalisation": shift, "scale": scale, "agreement": rounded(report)},
    )
    write_curve(plots, known)
    yield Progress(1, 1, {} if accuracy is None else {"valid_accuracy": accuracy})
