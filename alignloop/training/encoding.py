"""Encodes records as rows of token ids; rows that a model's context cannot hold are left out and counted."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from transformers import PreTrainedTokenizerBase

from alignloop.core.chat_template import Messages, RewrittenTurn, TokenizerError, render
from alignloop.core.encoded_ranking import EncodedRanking
from alignloop.core.numeric_checks import MOST_NAMES
from alignloop.core.tokens import (
    Encoded,
    encode,
    encode_dialogue,
    encode_prompt,
    encode_response,
    encode_text,
)
from alignloop.errors import AlignloopError
from alignloop.phases import counted
from alignloop.records import BinaryLabel, Demonstration, Document, Message, Prompt, Ranking

Named = TypeVar("Named", bound=BinaryLabel | Demonstration | Document | Prompt | Ranking)
Row = TypeVar("Row")


class NothingFits(AlignloopError):
    """Every record of a set is too long for the model."""


def chat(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Messages as chat templates read them."""
    return [{"role": message.role, "content": message.content} for message in messages]


def document_rows(
    tokenizer: PreTrainedTokenizerBase, documents: Sequence[Document], context: int
) -> list[Encoded]:
    """A row per document with the loss on every token; long documents become rows of `context` tokens."""
    rows: list[Encoded] = []
    whole = _each(documents, "documents", lambda document: _document(tokenizer, document))
    for document, row in zip(documents, whole, strict=True):
        for start in range(0, len(row.ids), context):
            part = slice(start, start + context)
            rows.append(Encoded(row.ids[part], row.mask[part], document.id))
    return [row for row in rows if len(row.ids) > 1]


def demonstration_rows(
    tokenizer: PreTrainedTokenizerBase, demonstrations: Sequence[Demonstration], turns: str, context: int
) -> tuple[list[Encoded], int]:
    """A row per demonstration with the loss on assistant turns, and how many were too long."""
    return fitting_demonstrations(
        demonstrations,
        lambda each: replace(encode_dialogue(tokenizer, chat(each.messages), turns), name=each.id),
        context,
    )


def fitting_demonstrations(
    demonstrations: Sequence[Demonstration], encoded: Callable[[Demonstration], Encoded], context: int
) -> tuple[list[Encoded], int]:
    """Demonstrations as `encoded` writes them, and how many were too long."""
    rows = _each(demonstrations, "demonstrations", encoded)
    return _fitting(rows, [len(row.ids) for row in rows], context, "demonstrations")


def prompt_rows(
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Prompt],
    room: int,
    encoded: Callable[[PreTrainedTokenizerBase, Messages], list[int]] = encode_prompt,
) -> tuple[list[tuple[Prompt, list[int]]], int]:
    """Each prompt with its token ids, and how many exceed `room` (the context less the response)."""
    rows = _each(prompts, "prompts", lambda prompt: (prompt, encoded(tokenizer, chat(prompt.messages))))
    return _fitting(rows, [len(ids) for _, ids in rows], room, "prompts")


def ranked_rows(
    tokenizer: PreTrainedTokenizerBase, rankings: Sequence[Ranking], context: int
) -> tuple[list[tuple[Ranking, EncodedRanking]], int]:
    """Each ranking with its K rows, and how many rankings contained a response that is too long."""
    rows = _each(rankings, "rankings", lambda ranking: (ranking, _ranked(tokenizer, ranking)))
    return _fitting(rows, [max(map(len, row.rows)) for _, row in rows], context, "rankings")


def label_rows(
    tokenizer: PreTrainedTokenizerBase, labels: Sequence[BinaryLabel], context: int
) -> tuple[list[tuple[BinaryLabel, EncodedRanking]], int]:
    """Each binary label with its row, and how many were too long."""
    rows = _each(labels, "labels", lambda label: (label, _labelled(tokenizer, label)))
    return _fitting(rows, [len(row) for _, row in rows], context, "labels")


def _document(tokenizer: PreTrainedTokenizerBase, document: Document) -> Encoded:
    """A whole document as a row with the loss on every token."""
    if document.text is not None:
        return encode_text(tokenizer, document.text)
    messages = chat(document.messages or ())
    try:
        ids = encode_dialogue(tokenizer, messages, "all").ids
    except RewrittenTurn:  # every token is learned, so the dialogue can be as the template writes it
        ids = encode(tokenizer, render(tokenizer, messages, add_generation_prompt=False))
    return Encoded(ids, [True] * len(ids))


def _ranked(tokenizer: PreTrainedTokenizerBase, ranking: Ranking) -> EncodedRanking:
    """A ranking as the rows of its responses."""
    prompt = encode_prompt(tokenizer, chat(ranking.prompt.messages))
    ids = {text: prompt + encode_response(tokenizer, text) for text in set(ranking.responses)}
    return EncodedRanking(
        [ids[text] for text in ranking.responses], list(ranking.ranks), len(prompt), ranking.id
    )


def _labelled(tokenizer: PreTrainedTokenizerBase, label: BinaryLabel) -> EncodedRanking:
    """A binary label as the row of its response."""
    prompt = encode_prompt(tokenizer, chat(label.prompt.messages))
    row = prompt + encode_response(tokenizer, label.response)
    return EncodedRanking([row], [1], len(prompt), label.id, label.good)


def _each(records: Sequence[Named], what: str, encoded: Callable[[Named], Row]) -> list[Row]:
    """Every record encoded; those that the tokenizer cannot encode are named together."""
    rows: list[Row] = []
    faults: list[tuple[str, TokenizerError]] = []
    for record in counted("tokenizing", records, len(records), of=what):
        try:
            rows.append(encoded(record))
        except TokenizerError as error:
            faults.append((record.id, error))
    if faults:
        names = ", ".join(name for name, _ in faults[:MOST_NAMES])
        more = f" and {len(faults) - MOST_NAMES} more" if len(faults) > MOST_NAMES else ""
        raise TokenizerError(f"{names}{more} of {len(records)} {what}: {faults[0][1]}")
    return rows


def _fitting(rows: list, lengths: list[int], room: int, what: str) -> tuple[list, int]:
    kept = [row for row, length in zip(rows, lengths, strict=True) if length <= room]
    if rows and not kept:
        raise NothingFits(
            f"none of the {len(rows)} {what} fits into {room} tokens; raise pretrain.context, or take "
            "another base"
        )
    return kept, len(rows) - len(kept)
