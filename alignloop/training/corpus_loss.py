"""The loss on held-out documents, and on those of each domain where documents state one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alignloop.core.lm_training import mean_loss
from alignloop.core.models import context_of
from alignloop.core.tokens import pad_of
from alignloop.records import Document
from alignloop.training.encoding import document_rows


@dataclass(frozen=True)
class DomainLoss:
    """The loss on a domain's documents, in nats per token."""

    documents: int
    loss: float


def corpus_loss(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, documents: Sequence[Document]
) -> float | None:
    """The mean loss of all tokens, in nats; None where there are none to predict."""
    rows = document_rows(tokenizer, documents, context_of(model))
    return mean_loss(model, rows, pad_of(tokenizer)) if rows else None


def domain_losses(
    domains: Mapping[str, Sequence[Document]], measure: Callable[[Sequence[Document]], float | None]
) -> dict[str, DomainLoss]:
    """The loss on each domain's documents by `measure`; a domain without a token to predict is left out."""
    losses = {name: measure(documents) for name, documents in domains.items()}
    return {name: DomainLoss(len(domains[name]), loss) for name, loss in losses.items() if loss is not None}


def numbers_of(losses: Mapping[str, DomainLoss]) -> dict[str, dict[str, dict[str, float]]]:
    """The part of a metrics file on domains; empty where there are none."""
    return {"domains": {name: asdict(each) for name, each in losses.items()}} if losses else {}
