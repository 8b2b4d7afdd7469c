"""The base model: trained on the corpus with its tokenizer, or the checkpoint in `base` of params.yaml."""

from collections.abc import Iterator
from math import exp
from pathlib import Path

from alignloop.core.batches import spread
from alignloop.core.family_check import check_family, packs
from alignloop.core.gradient_checkpointing import recompute_activations
from alignloop.core.lm_training import fit, mean_loss
from alignloop.core.models import context_of, load_policy, new_policy, save_policy
from alignloop.core.tokens import pad_of, train_tokenizer
from alignloop.data.pretraining_text import read_text
from alignloop.files import replacing, write_json
from alignloop.params.compute import Compute
from alignloop.params.pretrain import Pretrain
from alignloop.params.section import BaseCheckpoint, Seed
from alignloop.progress import Progress
from alignloop.records import Document
from alignloop.seeds import draws, seed_of
from alignloop.training.checkpoints import Checkpoint
from alignloop.training.curves import write_curve
from alignloop.training.encoding import document_rows
from alignloop.training.measured import spread_note
from alignloop.training.resumable_loop import learn, points

UNPACKED = (
    "packed rows do not suit the family {}: the responses to a prompt are computed apart, which is exact and "
    "slower"
)

NO_TEXT = "no plain text among the sources: no perplexity is measured"


def pretrain(
    seed: Seed,
    base: BaseCheckpoint,
    plan: Pretrain,
    compute: Compute,
    checkpoint: Checkpoint,
    corpus: Path,
    out: Path,
    metrics: Path,
    plots: Path,
) -> Iterator[Progress]:
    """Make the base model, or take a checkpoint."""
    needed_for = "" if base else "a base model is made of (or name a checkpoint in `base`)"
    train, valid = (read_text(corpus, split, needed_for) for split in ("train", "valid"))
    curve = checkpoint.journal("curve")
    rows = []
    if base is not None:
        model, tokenizer = load_policy(base)
        check_family(model, base)
        if not packs(model):
            yield Progress(0, 1, note=UNPACKED.format(model.config.model_type))
    else:
        texts = (text for document in train for text in texts_of(document))
        tokenizer = train_tokenizer(texts, plan.vocabulary)
        model = new_policy(
            tokenizer,
            layers=plan.layers,
            width=plan.width,
            heads=plan.heads,
            context=plan.context,
            seed=seed_of(seed, "pretrain"),
        )
        if compute.gradient_checkpointing:
            recompute_activations(model)
        rows = document_rows(tokenizer, train, plan.context)
        training = fit(
            model,
            rows,
            pad_of(tokenizer),
            epochs=plan.epochs,
            rows_per_step=plan.documents_per_step,
            learning_rate=plan.learning_rate,
            warmup=plan.warmup,
            weight_decay=plan.weight_decay,
            random=draws(seed, "pretrain", "order"),
        )
        yield from learn(training, checkpoint, curve)
    if note := spread_note(
        "the loss is measured on documents", len(valid), "pretrain.valid_documents", plan.valid_documents
    ):
        yield Progress(0, 1, note=note)
    held_out = document_rows(tokenizer, spread(valid, plan.valid_documents), context_of(model))
    loss = mean_loss(model, held_out, pad_of(tokenizer)) if held_out else None
    with replacing(out) as part:
        save_policy(model, tokenizer, part)
    numbers = {
        "loss": loss,
        "perplexity": None if loss is None else exp(loss),
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "vocabulary": len(tokenizer),
        "rows": len(rows),
    }
    write_json(metrics, numbers)
    measured = {} if loss is None else {"loss": loss}
    write_curve(plots, points(curve) or [(0, measured)])
    told = {} if loss is None else {"valid_loss": loss, "valid_perplexity": exp(loss)}
    yield Progress(1, 1, told, note="" if loss is not None else NO_TEXT)


def texts_of(document: Document) -> list[str]:
    """All text of a document, turn by turn."""
    if document.text is not None:
        return [document.text]
    return [message.content for message in document.messages or ()]
