"""Supervised fine-tuning: the base model imitates the labelers' answers; the loss is on assistant tokens only."""

from collections.abc import Iterator
from math import exp
from pathlib import Path

from alignloop.core.fit import fit, mean_loss
from alignloop.core.models import context_of, load_policy, save_policy
from alignloop.core.tokens import pad_of
from alignloop.io.curves import write_curve
from alignloop.io.datasets import read
from alignloop.io.files import replacing, write_json
from alignloop.params import Params
from alignloop.records import Demonstration, Document
from alignloop.seeds import draws
from alignloop.stages.progress import Progress
from alignloop.stages.rows import demonstration_rows, document_rows


def sft(params: Params, base: Path, demonstrations: Path, corpus: Path, out: Path, metrics: Path, plots: Path) -> Iterator[Progress]:
    """Fine-tune the base model on demonstrations, with some pretraining text mixed in."""
    plan = params.sft
    model, tokenizer = load_policy(base)
    context, pad = context_of(model), pad_of(tokenizer)
    rows, too_long = demonstration_rows(tokenizer, read(demonstrations / "train.jsonl", Demonstration), plan.assistant_turns, context)
    valid, _ = demonstration_rows(
        tokenizer, read(demonstrations / "valid.jsonl", Demonstration, allow_empty=True), plan.assistant_turns, context
    )
    text = document_rows(tokenizer, read(corpus / "train.jsonl", Document), context) if plan.pretrain_share else []
    curve: list[tuple[int, dict[str, float]]] = []
    for step, steps, numbers in fit(
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
    ):
        curve.append((step, numbers))
        yield Progress(step, steps, numbers)
    loss = mean_loss(model, valid, pad) if valid else None
    with replacing(out) as part:
        save_policy(model, tokenizer, part)
    perplexity = exp(loss) if loss is not None else None
    write_json(metrics, {"demonstrations": len(rows), "too_long": too_long, "valid_loss": loss, "valid_perplexity": perplexity})
    write_curve(plots, curve)
    yield Progress(1, 1, {} if loss is None else {"valid_loss": loss})
