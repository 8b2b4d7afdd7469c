"""Supervised fine-tuning: the base model imitates the labelers' answers; the loss is on assistant tokens only.

The checkpoint is that of the best check (arXiv 2203.02155, appendix C.1): by the score of an earlier run's reward model, or by loss.
"""

from collections.abc import Iterator
from math import exp
from pathlib import Path

from alignloop.core.checkpoint_selection import BestWeights, check_steps
from alignloop.core.lm_training import fit
from alignloop.core.models import context_of, load_policy, save_policy
from alignloop.core.tokens import pad_of
from alignloop.data.record_files import read
from alignloop.files import replacing, write_json
from alignloop.params import Params
from alignloop.progress import Progress
from alignloop.records import Demonstration, Document
from alignloop.seeds import draws
from alignloop.training.checkpoints import Checkpoint
from alignloop.training.curves import write_curve
from alignloop.training.encoding import demonstration_rows, document_rows
from alignloop.training.resumable_loop import learn, points
from alignloop.training.sft_validation import checker


def sft(
    params: Params,
    checkpoint: Checkpoint,
    base: Path,
    demonstrations: Path,
    corpus: Path,
    out: Path,
    metrics: Path,
    plots: Path,
) -> Iterator[Progress]:
    """Fine-tune the base model on demonstrations, with some pretraining text mixed in."""
    plan = params.sft
    model, tokenizer = load_policy(base)
    context, pad = context_of(model), pad_of(tokenizer)
    shown = read(demonstrations / "train.jsonl", Demonstration) + (
        read(Path(plan.more), Demonstration) if plan.more else []
    )
    rows, too_long = demonstration_rows(tokenizer, shown, plan.assistant_turns, context)
    check = checker(
        params, model, tokenizer, read(demonstrations / "valid.jsonl", Demonstration, allow_empty=True)
    )
    text = (
        document_rows(tokenizer, read(corpus / "train.jsonl", Document), context)
        if plan.pretrain_share
        else []
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
        random=draws(params.seed, "sft"),
        mixed=text,
        mixed_share=plan.pretrain_share,
        packing=plan.packing,
    )
    choice, due = BestWeights(model), check_steps(training.steps, plan.checks)

    def checked(step: int) -> dict[str, float]:
        found = check() if step in due else {}
        if found:
            choice.update(step, found.get("valid_score", -found["valid_loss"]))
        return found

    checkpoint.hold(choice=choice)
    curve = checkpoint.journal("curve")
    yield from learn(training, checkpoint, curve, check=checked)
    known, kept = points(curve), choice.load_best() if choice.step else training.steps
    with replacing(out) as part:
        save_policy(model, tokenizer, part)
    chosen = known[kept - 1][1]
    loss = chosen.get("valid_loss")
    measured = {
        "valid_loss": loss,
        "valid_perplexity": None if loss is None else exp(loss),
        "valid_score": chosen.get("valid_score"),
    }
    counts = {"demonstrations": len(rows), "too_long": too_long}
    write_json(metrics, {**counts, "steps": training.steps, "chosen_step": kept, **measured})
    write_curve(plots, known)
