"""Supervised fine-tuning on the labelers' demonstrations; the loss is on assistant tokens.

The checkpoint with the best validation is kept (arXiv 2203.02155, appendix C.1): by the score of an earlier
run's reward model, or by the loss on validation demonstrations.
"""

from collections.abc import Iterator
from math import exp
from pathlib import Path

from alignloop.core.batches import spread
from alignloop.core.checkpoint_selection import BestWeights, check_steps
from alignloop.core.gradient_checkpointing import recompute_activations
from alignloop.core.lm_training import fit
from alignloop.core.lora import add_adapters, merge_adapters
from alignloop.core.models import context_of, load_policy, save_policy
from alignloop.core.tokens import pad_of
from alignloop.data.pretraining_text import by_stated_domain, read_text
from alignloop.data.record_files import read
from alignloop.files import replacing, write_json
from alignloop.params.compute import Compute
from alignloop.params.sample import Decoding
from alignloop.params.section import Seed
from alignloop.params.sft import Sft
from alignloop.params.tools import Tools
from alignloop.phases import phase
from alignloop.progress import Progress
from alignloop.records import Demonstration
from alignloop.seeds import draws, seed_of
from alignloop.tools.demonstrations import rows_with_tools
from alignloop.tools.responder import open_responder
from alignloop.training.checkpoints import Checkpoint
from alignloop.training.corpus_loss import corpus_loss, domain_losses, numbers_of
from alignloop.training.curves import write_curve
from alignloop.training.encoding import document_rows
from alignloop.training.measured import spread_note
from alignloop.training.resumable_loop import learn, points
from alignloop.training.sft_validation import validator


def sft(
    seed: Seed,
    plan: Sft,
    decoding: Decoding,
    tools: Tools,
    compute: Compute,
    checkpoint: Checkpoint,
    base: Path,
    demonstrations: Path,
    corpus: Path,
    out: Path,
    metrics: Path,
    plots: Path,
) -> Iterator[Progress]:
    """Fine-tune the base model on demonstrations, with pretraining text mixed in if wanted."""
    model, tokenizer = load_policy(base, four_bits=compute.four_bits)
    adapted = None
    if plan.lora:
        adapted = add_adapters(model, **plan.lora.model_dump(), seed=seed_of(seed, "sft", "adapters"))
    if compute.gradient_checkpointing:
        recompute_activations(model)
    context, pad = context_of(model), pad_of(tokenizer)
    learned = read(demonstrations / "train.jsonl", Demonstration)
    if plan.extra_demonstrations:
        learned += read(Path(plan.extra_demonstrations), Demonstration)
    valid = read(demonstrations / "valid.jsonl", Demonstration, allow_empty=True)
    held_out = spread(valid, plan.valid_demonstrations)
    with open_responder(tools, tokenizer) as responder:
        rows, too_long = rows_with_tools(responder, tokenizer, learned, plan.assistant_turns, context)
        valid_rows, _ = rows_with_tools(responder, tokenizer, held_out, plan.assistant_turns, context)
    if note := spread_note("validated on", len(valid), "sft.valid_demonstrations", plan.valid_demonstrations):
        yield Progress(0, 1, note=note)
    validate = validator(
        seed, plan, decoding, model=model, tokenizer=tokenizer, demonstrations=held_out, rows=valid_rows
    )
    text = []
    if plan.pretrain_share:
        text = document_rows(
            tokenizer, read_text(corpus, "train", "sft.pretrain_share asks for (0: off)"), context
        )
    training = fit(
        model,
        rows,
        pad,
        epochs=plan.epochs,
        rows_per_step=plan.demonstrations_per_step,
        learning_rate=plan.learning_rate,
        warmup=plan.warmup,
        weight_decay=0.0,
        random=draws(seed, "sft"),
        mixed=text,
        mixed_share=plan.pretrain_share,
        packing=plan.packing,
    )
    choice, due = BestWeights(model), check_steps(training.steps, plan.validations)

    def validated(step: int) -> dict[str, float]:
        if step not in due:
            return {}
        with phase("validation"):
            numbers = validate()
        if numbers:
            choice.update(step, numbers.get("valid_score", -numbers["valid_loss"]))
        return numbers

    checkpoint.hold(choice=choice)
    curve = checkpoint.journal("curve")
    yield from learn(training, checkpoint, curve, validate=validated)
    known = points(curve)
    kept = choice.load_best() if choice.step else training.steps
    documents = spread(read_text(corpus, "valid"), plan.valid_demonstrations)
    losses = domain_losses(by_stated_domain(documents), lambda own: corpus_loss(model, tokenizer, own))
    with replacing(out) as part:
        save_policy(merge_adapters(adapted) if adapted else model, tokenizer, part)
    chosen = known[kept - 1][1]
    loss = chosen.get("valid_loss")
    measured = {
        "valid_loss": loss,
        "valid_perplexity": None if loss is None else exp(loss),
        "valid_score": chosen.get("valid_score"),
    }
    counts = {"demonstrations": len(rows), "too_long": too_long}
    steps = {"steps": training.steps, "chosen_step": kept}
    write_json(metrics, {**counts, **steps, **measured, **numbers_of(losses)})
    write_curve(plots, known)
