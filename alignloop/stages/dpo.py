"""A round's policy from its rankings without RL: DPO, IPO, KTO or K-way DPO, with a pretraining loss.

The weights with the lowest loss on validation rankings are kept. At each validation the policy responds to
training prompts: the guards look at these responses, and they are the round's rollouts.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from alignloop.core import devices
from alignloop.core import dpo as algorithm
from alignloop.core.batches import spread
from alignloop.core.checkpoint_selection import check_steps
from alignloop.core.dpo_config import DpoConfig
from alignloop.core.encoded_ranking import EncodedRanking
from alignloop.core.family_check import packs
from alignloop.core.gradient_checkpointing import recompute_activations
from alignloop.core.guards import DPO, Guard, GuardMonitor
from alignloop.core.lora import add_adapters, merge_adapters
from alignloop.core.models import context_of, load_policy, save_policy, token_rules
from alignloop.core.precision import freeze
from alignloop.core.ranked_logprobs import Reading
from alignloop.core.reward_model import RewardModel
from alignloop.data.pretraining_text import read_text
from alignloop.data.record_files import read, write
from alignloop.files import replacing, write_json
from alignloop.inference.open_sampler import open_sampler
from alignloop.params.compute import Compute
from alignloop.params.dpo import Dpo
from alignloop.params.rollout import RolloutEngine
from alignloop.params.sample import Decoding
from alignloop.params.section import Seed
from alignloop.params.tools import Tools
from alignloop.progress import Progress
from alignloop.records import LABELS, BinaryLabel, Prompt, Ranking, Rollout
from alignloop.seeds import draws, seed_of
from alignloop.training.checkpoints import Checkpoint
from alignloop.training.curves import write_curve
from alignloop.training.dpo_validation import Validation
from alignloop.training.encoding import document_rows, label_rows, prompt_rows, ranked_rows
from alignloop.training.held_out_model import load_held_out_model
from alignloop.training.resumable_loop import points, recalled
from alignloop.training.rollout_records import rollout_records
from alignloop.training.scoring import scorer


def dpo(
    seed: Seed,
    plan: Dpo,
    decoding: Decoding,
    tools: Tools,
    compute: Compute,
    engine: RolloutEngine,
    checkpoint: Checkpoint,
    round: str,
    start: Path,
    reward: Path,
    sft: Path,
    prompts: Path,
    corpus: Path,
    out: Path,
    rollouts: Path,
    metrics: Path,
    plots: Path,
) -> Iterator[Progress]:
    """Train the policy on the round's rankings, which are beside the prompts, as in dvc.yaml."""
    assert not tools.functions, "params.yaml is refused: dpo cannot learn to call tools"
    rankings = prompts.parent / "rankings" / round
    small = compute.four_bits
    policy, tokenizer = load_policy(start, four_bits=small)
    adapted = None
    if plan.lora:
        adapted = add_adapters(policy, **plan.lora.model_dump(), seed=seed_of(seed, "dpo", round, "adapters"))
    reference = adapted
    if reference is None or plan.reference != "adapter":
        reference = freeze(load_policy(sft if plan.reference == "sft" else start, small)[0])
        devices.shard(reference)
    if compute.gradient_checkpointing:
        recompute_activations(policy)
    devices.shard(policy)
    context, how = context_of(policy), config(plan)
    reading = Reading(token_rules(tokenizer, policy), decoding.temperature, packs(policy))
    found = comparable(tokenizer, rankings, context, reading, with_labels=plan.loss == "kto")
    learned, held_out = found.learned, found.held_out
    if found.labels_left_out:
        why = f"loss: {plan.loss} learns from rankings alone, kto from labels too"
        yield Progress(0, 1, note=f"{found.labels_left_out:,} binary labels are left out: {why}")
    algorithm.check_rankings(learned, how, str(rankings))
    held_out = spread(held_out, plan.valid_rankings)
    compared = algorithm.compare(reference, learned, reading, how, context)
    unseen = algorithm.compare(reference, held_out, reading, how, context) if held_out else []
    known = read(prompts / "train.jsonl", Prompt)
    rows, too_long = prompt_rows(tokenizer, known, context - decoding.max_new_tokens)
    rows = spread(rows, plan.validation_prompts)
    ptx = []
    if plan.ptx_coef:
        ptx = document_rows(tokenizer, read_text(corpus, "train", "dpo.ptx_coef asks for (0: off)"), context)
    training = algorithm.train(
        policy,
        compared,
        reading,
        how,
        rankings_per_step=plan.rankings_per_step,
        ptx=ptx,
        epochs=plan.epochs,
        learning_rate=plan.learning_rate,
        warmup=plan.warmup,
        weight_decay=plan.weight_decay,
        random=draws(seed, "dpo", round),
    )
    validation = Validation(
        policy,
        reference,
        reading,
        how,
        unseen=unseen,
        prompts=[ids for _, ids in rows],
        score=scorer(RewardModel.load(reward, small).frozen(), tokenizer),
        guards=monitor(plan, reward, tokenizer, small),
        decoding=decoding,
        seed=seed_of(seed, "dpo", round, "validation"),
    )
    journal, kept = checkpoint.journal("curve"), checkpoint.journal("rollouts")
    checkpoint.hold(training=training, validation=validation)
    due = check_steps(training.steps, plan.validations)
    prompt_of = {tuple(ids): prompt.id for prompt, ids in rows}
    yield from recalled(journal, training.steps)
    with open_sampler(engine, start) as sampler:
        for step, steps, numbers in () if validation.stopped else training:
            note = ""
            if step in due:
                seen, drawn, violations = validation.look(step, sampler)
                numbers |= seen
                new = [each for each in violations if validation.is_first(each, step)]
                note = "; ".join(f"{each.strength}: {each.message}" for each in new)
                records = rollout_records(drawn, step, round, tokenizer, prompt_of)
                kept.add(*(record.model_dump_json() for record in records))
            journal.add(json.dumps([step, numbers]))
            yield Progress(step, steps, numbers, note)
            checkpoint.after(step, last=validation.stopped or step == steps)
            if validation.stopped:
                break
    curve = points(journal)
    chosen = validation.load_best(len(curve))
    with replacing(out) as part:
        save_policy(merge_adapters(adapted) if adapted else policy, tokenizer, part)
    write(rollouts / "rollouts.jsonl", (Rollout.model_validate_json(line) for line in kept))
    counts = {"rankings": len(learned) - found.labels, "too_long": too_long, "left_out": found.left_out}
    counts |= {"labels": found.labels} if found.labels else {}
    counts |= {"labels_left_out": found.labels_left_out} if found.labels_left_out else {}
    counts |= {"steps": len(curve), "chosen_step": chosen}
    write_json(metrics, {**counts, **final_numbers(curve, chosen), **validation.first_violations()})
    write_curve(plots, curve)


@dataclass(frozen=True)
class Comparable:
    """The rankings to learn from and those of validation prompts, with KTO the binary labels after them.

    `labels` are those among `learned`. Left out are rankings and labels with a response that is too long, or
    that has a token that no policy may draw; `labels_left_out` are those that the loss cannot learn from.
    """

    learned: list[EncodedRanking]
    held_out: list[EncodedRanking]
    left_out: int
    labels: int
    labels_left_out: int


def comparable(
    tokenizer: PreTrainedTokenizerBase, rankings: Path, context: int, reading: Reading, with_labels: bool
) -> Comparable:
    """What a round's folder of rankings holds to learn from."""
    ranked, too_long = ranked_rows(tokenizer, read(rankings, Ranking), context)
    given = read(rankings / LABELS, BinaryLabel) if (rankings / LABELS).exists() else []
    labelled, longer = label_rows(tokenizer, given if with_labels else [], context)
    rows = [*((each.split, row) for each, row in ranked), *((each.split, row) for each, row in labelled)]
    drawable = [
        (split, row)
        for split, row in rows
        if all(reading.rules.allowed[ids[row.shared :]].all() for ids in row.distinct)
    ]
    learned = [row for split, row in drawable if split == "train"]
    return Comparable(
        learned,
        [row for split, row in drawable if split == "valid"],
        left_out=too_long + longer + len(rows) - len(drawable),
        labels=sum(row.good is not None for row in learned),
        labels_left_out=len(given) if not with_labels else 0,
    )


def final_numbers(curve: Sequence[tuple[int, Mapping[str, float]]], chosen: int) -> dict[str, float | None]:
    """The numbers of the validation that the weights were chosen at; None of those that it has not."""
    at = dict(curve).get(chosen, {})
    names = ("score", "kl", "length", "ended", "entropy", "valid_loss", "valid_accuracy", "valid_margin")
    return {f"final_{name}": at.get(name) for name in names}


def monitor(
    plan: Dpo, reward: Path, tokenizer: PreTrainedTokenizerBase, four_bits: bool = False
) -> GuardMonitor:
    """The guards that params.yaml asks for, with the held-out reward model where one of them needs it."""
    guards = {name: Guard(guard.limit, guard.strength) for name, guard in plan.guards.items()}
    held_out = None
    if "max_held_out_fall" in guards:
        model = load_held_out_model(reward, "dpo.guards.max_held_out_fall", four_bits)
        held_out = scorer(model, tokenizer)
    return GuardMonitor(guards, plan.guard_window_validations, held_out, DPO)


def config(plan: Dpo) -> DpoConfig:
    """The numbers of the loss."""
    return DpoConfig(
        loss=plan.loss,
        beta=plan.beta_score_per_nat,
        label_smoothing=plan.label_smoothing,
        length_normalised=plan.length_normalised,
        ties=plan.ties,
        margin=plan.margin,
        desirable_weight=plan.desirable_weight,
        undesirable_weight=plan.undesirable_weight,
        ptx_coef=plan.ptx_coef,
        ptx_documents_per_step=plan.ptx_documents_per_step,
    )
