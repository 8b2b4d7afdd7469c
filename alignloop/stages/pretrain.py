"""The base model: trained on the corpus with its tokenizer, or the checkpoint in `base` of params.yaml."""

from collections.abc import Iterator
from math import exp
from pathlib import Path
from typing import Any

from alignloop.core.batches import spread
from alignloop.core.family_check import check_family, packs
from alignloop.core.gradient_checkpointing import recompute_activations
from alignloop.core.lm_training import fit
from alignloop.core.models import load_policy, new_policy, save_policy
from alignloop.core.tokens import pad_of, train_tokenizer
from alignloop.data.pretraining_text import by_domain, by_stated_domain, check_mixture, read_text
from alignloop.files import replacing, write_json
from alignloop.params.compute import Compute
from alignloop.params.pretrain import Pretrain
from alignloop.params.section import BaseCheckpoint, Seed
from alignloop.progress import Progress
from alignloop.records import Document
from alignloop.seeds import draws, seed_of
from alignloop.training.checkpoints import Checkpoint
from alignloop.training.corpus_loss import corpus_loss, domain_losses
from alignloop.training.curves import write_curve
from alignloop.training.encoding import document_rows
from alignloop.training.measured import spread_note
from alignloop.training.mixture import Draw, draw_rows
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
    in_domains = by_domain if plan.mixture else by_stated_domain
    curve = checkpoint.journal("curve")
    drawn = Draw([], plan.epochs, {})
    if base is not None:
        model, tokenizer = load_policy(base)
        check_family(model, base)
        if not packs(model):
            yield Progress(0, 1, note=UNPACKED.format(model.config.model_type))
    else:
        if plan.mixture:
            check_mixture(plan.mixture, train)
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
        groups = in_domains(train)
        names = {document.id: name for name, own in groups.items() for document in own}
        drawn = draw_rows(rows, names, plan.mixture, plan.epochs, draws(seed, "pretrain", "mixture"))
        if words := drawn.as_words():
            yield Progress(0, 1, note=words)
        training = fit(
            model,
            drawn.rows,
            pad_of(tokenizer),
            epochs=drawn.epochs,
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
    held_out = spread(valid, plan.valid_documents)
    loss = corpus_loss(model, tokenizer, held_out)
    domains = in_domains(held_out)
    losses = domain_losses(domains, lambda documents: corpus_loss(model, tokenizer, documents))
    with replacing(out) as part:
        save_policy(model, tokenizer, part)
    numbers: dict[str, Any] = {
        "loss": loss,
        "perplexity": None if loss is None else exp(loss),
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "vocabulary": len(tokenizer),
        "rows": len(drawn.rows),
    }
    if domains or drawn.domains:
        numbers["domains"] = {
            name: {
                **(drawn.domains[name].as_dict() if name in drawn.domains else {}),
                "loss": losses[name].loss if name in losses else None,
            }
            for name in sorted({*domains, *drawn.domains})
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
