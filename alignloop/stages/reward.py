"""The reward model of a round, trained on every ranking known so far (arXiv 2505.18126: concatenate).

It is initialised from the reward model of an earlier round, or from the SFT model with a new head. A round
that adopts its policy has no new rankings: it takes the earlier round's reward model as it is.
"""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from numpy.random import Generator

from alignloop.core.batches import spread
from alignloop.core.encoded_ranking import EncodedRanking
from alignloop.core.gradient_checkpointing import recompute_activations
from alignloop.core.lora import add_adapters
from alignloop.core.models import context_of, load_policy
from alignloop.core.ranking_pairs import pairs_of
from alignloop.core.reward_metrics import accuracy
from alignloop.core.reward_model import HELD_OUT, RewardModel
from alignloop.core.reward_scoring import score_rankings
from alignloop.core.reward_training import normalise, train
from alignloop.core.tokens import pad_of
from alignloop.core.training_loop import Training
from alignloop.data.record_files import count_in, read
from alignloop.errors import AlignloopError
from alignloop.evaluation.chance import at_chance
from alignloop.evaluation.data_size import size_note
from alignloop.evaluation.reward_report import held_out_agreement
from alignloop.files import replacing, rounded, write_json
from alignloop.params.compute import Compute
from alignloop.params.reward import Reward
from alignloop.params.section import Seed
from alignloop.phases import phase
from alignloop.progress import Progress
from alignloop.records import LABELS, Demonstration, Ranking
from alignloop.seeds import draws, seed_of
from alignloop.training.checkpoints import Checkpoint
from alignloop.training.curves import write_curve
from alignloop.training.encoding import demonstration_rows, ranked_rows
from alignloop.training.measured import spread_note
from alignloop.training.resumable_loop import learn, points

if TYPE_CHECKING:
    from peft import PeftModel

NO_PAIR = (
    "{}: all {} rankings to learn from are ties, without one ordered pair: nothing tells responses apart, so "
    "the scores say nothing; raise decoding.temperature, or lower label.tie"
)
CHANCE = (
    "the order of {1} validation pairs is right for {0:.1%}, no more than by chance: PPO would follow noise; "
    "get more rankings, or look at reward.learning_rate and reward.epochs"
)


class NoHeldOutRankings(AlignloopError):
    """There is nothing to train a held-out reward model on."""


def reward(
    seed: Seed,
    plan: Reward,
    compute: Compute,
    checkpoint: Checkpoint,
    round: str,
    sft: Path,
    start: Path,
    rankings: Path,
    demonstrations: Path,
    out: Path,
    metrics: Path,
    plots: Path,
    by: str = "ppo",
) -> Iterator[Progress]:
    """Train a reward model on the rankings and normalise it on demonstrations."""
    policy, tokenizer = load_policy(sft, four_bits=compute.four_bits)
    context, pad = context_of(policy), pad_of(tokenizer)
    if start == sft:
        model = RewardModel.from_policy(policy, seed_of(seed, "reward", round))
    else:
        model = RewardModel.load(start, four_bits=compute.four_bits)
    ranked, too_long = ranked_rows(tokenizer, read(rankings, Ranking), context)
    learned = [row for ranking, row in ranked if ranking.split == "train"]
    held_out = [row for ranking, row in ranked if ranking.split == "valid"]
    pairs, valid_pairs = (sum(len(pairs_of(row.ranks)[0]) for row in rows) for rows in (learned, held_out))
    too_few = size_note({"pairs": pairs, "valid_pairs": valid_pairs})
    counts = {
        "rankings": len(learned),
        "pairs": pairs,
        "too_long": too_long,
        "valid_rankings": len(held_out),
        "valid_pairs": valid_pairs,
    }
    if by == "adopted" and start != sft:
        with replacing(out) as part:
            shutil.copytree(start, part)
        numbers = _measure_again(plan, model, ranked, pad)
        write_json(metrics, {"demonstrations": 0, **counts, **numbers})
        write_curve(plots, [])
        note = f"{start} as it is: this round's policy is adopted, and nobody ranked anything new"
        yield Progress(1, 1, note=note)
        return
    if note := too_few if pairs else NO_PAIR.format(rankings, len(learned)):
        yield Progress(0, 1, note=note)
    labels = count_in(rankings / LABELS) if (rankings / LABELS).exists() else 0
    if labels:
        yield Progress(0, 1, note=f"{labels:,} binary labels are left out: they order no two responses")
    curve = checkpoint.journal("curve")
    adapted = _prepare(plan, compute, model, seed_of(seed, "reward", round, "adapters"))
    training = _training(plan, model, learned, pad, draws(seed, "reward", round, "order"))
    yield from learn(training, checkpoint, curve)
    other = other_adapted = None
    if plan.held_out_model:
        if not held_out:
            raise NoHeldOutRankings(
                f"{rankings}: reward.held_out_model needs rankings of validation prompts; "
                "raise sample.valid_prompts"
            )
        other = RewardModel.from_policy(policy, seed_of(seed, "reward", round, HELD_OUT))
        other_adapted = _prepare(plan, compute, other, seed_of(seed, "reward", round, HELD_OUT, "adapters"))
        training = _training(plan, other, held_out, pad, draws(seed, "reward", round, HELD_OUT, "order"))
        yield from learn(training, checkpoint, checkpoint.journal("held_out_curve"), "held_out_")
    known_good = read(demonstrations / "train.jsonl", Demonstration)
    for note in (
        spread_note(
            "normalised on demonstrations",
            len(known_good),
            "reward.normalisation_demonstrations",
            plan.normalisation_demonstrations,
        ),
        spread_note(
            "accuracy is of validation rankings", len(held_out), "reward.valid_rankings", plan.valid_rankings
        ),
    ):
        if note:
            yield Progress(0, 1, note=note)
    examples, _ = demonstration_rows(
        tokenizer, spread(known_good, plan.normalisation_demonstrations), "last", context
    )
    ids = [example.ids for example in examples]
    with phase("normalising the scores"):  # after all training: weights change
        shift, scale = normalise(model, ids, pad, plan.normalise_variance)
        if other:
            normalise(other, ids, pad, plan.normalise_variance)
    with phase("report on held-out rankings"):
        report = _agreement(plan, model, ranked, pad, scale)
    with replacing(out) as part:
        model.save(part, tokenizer, adapted)
        if other:
            other.save(part / HELD_OUT, tokenizer, other_adapted)
    known = points(curve)
    last = known[-max(1, len(known) // 10) :]
    # accuracy of each step's rows, before the step learns from them in this round
    late = fmean(step["accuracy"] for _, step in last)
    right = report["users"]["accuracy"]
    accuracies = {"train_accuracy": late, "valid_accuracy": right}
    write_json(
        metrics,
        {
            "demonstrations": len(examples),
            **counts,
            **({"labels_left_out": labels} if labels else {}),
            **accuracies,
            "normalisation": shift,
            "scale": scale,
            "agreement": rounded(report),
        },
    )
    write_curve(plots, known)
    yield Progress(
        1,
        1,
        {} if right is None else {"valid_accuracy": right},
        note=CHANCE.format(right, valid_pairs) if at_chance(right, valid_pairs) else "",
    )


def _agreement(
    plan: Reward,
    model: RewardModel,
    ranked: Sequence[tuple[Ranking, EncodedRanking]],
    pad: int,
    scale: float,
) -> dict[str, Any]:
    """The agreement with rankings of validation prompts."""
    threshold = plan.margin if plan.ties == "rao_kupper" else 0.0
    unseen = spread([pair for pair in ranked if pair[0].split == "valid"], plan.valid_rankings)
    labelers = {ranking.labeler for ranking, _ in ranked if ranking.split == "train"}
    return held_out_agreement(model, unseen, labelers, pad, scale=scale, threshold=threshold)


def _measure_again(
    plan: Reward, model: RewardModel, ranked: Sequence[tuple[Ranking, EncodedRanking]], pad: int
) -> dict[str, Any]:
    """The numbers of a reward model that is taken as it is, its accuracy in training on learned rankings.

    The scale of a normalised variance is not in its files: calibration is that of the scores as they are.
    """
    with phase("report on rankings"):
        report = _agreement(plan, model, ranked, pad, 1.0)
        learned = spread([row for ranking, row in ranked if ranking.split == "train"], plan.valid_rankings)
        scores = score_rankings(model, learned, pad)
    return {
        "train_accuracy": accuracy(scores, [row.ranks for row in learned])["accuracy"],
        "valid_accuracy": report["users"]["accuracy"],
        "normalisation": float(model.normalisation),
        "scale": 1.0,
        "agreement": rounded(report),
    }


def _prepare(plan: Reward, compute: Compute, model: RewardModel, seed: int) -> "PeftModel | None":
    """Add what params.yaml asks for: adapters, gradient checkpointing. Returns the adapted trunk."""
    adapted = add_adapters(model.trunk, **plan.lora.model_dump(), seed=seed) if plan.lora else None
    if compute.gradient_checkpointing:
        recompute_activations(model.trunk)
    return adapted


def _training(
    plan: Reward, model: RewardModel, rows: Sequence[EncodedRanking], pad: int, random: Generator
) -> Training:
    """The training that params.yaml asks for, on these rankings."""
    return train(
        model,
        rows,
        pad,
        epochs=plan.epochs,
        rankings_per_step=plan.rankings_per_step,
        learning_rate=plan.learning_rate,
        warmup=plan.warmup,
        weight_decay=plan.weight_decay,
        ties=plan.ties,
        margin=plan.margin,
        random=random,
    )
