"""Encodes records as rows of token ids; rows that a model's context cannot hold are left out and counted."""

from collections.abc import Sequence
from dataclasses import replace

from transformers import PreTrainedTokenizerBase

from alignloop.core.encoded_ranking import EncodedRanking
from alignloop.core.tokens import Encoded, encode_dialogue, encode_prompt, encode_response, encode_text
from alignloop.errors import AlignloopError
from alignloop.records import Demonstration, Document, Message, Prompt, Ranking


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
    for document in documents:
        if document.text is not None:
            row = encode_text(tokenizer, document.text)
        else:
            dialogue = encode_dialogue(tokenizer, chat(document.messages or ()), "all")
            row = Encoded(dialogue.ids, [True] * len(dialogue.ids))
        for start in range(0, len(row.ids), context):
            part = slice(start, start + context)
            rows.append(Encoded(row.ids[part], row.mask[part], document.id))
    return [row for row in rows if len(row.ids) > 1]


def demonstration_rows(
    tokenizer: PreTrainedTokenizerBase, demonstrations: Sequence[Demonstration], turns: str, context: int
) -> tuple[list[Encoded], int]:
    """A row per demonstration with the loss on assistant turns, and how many were too long."""
    rows = [
        replace(encode_dialogue(tokenizer, chat(each.messages), turns), name=each.id)
        for each in demonstrations
    ]
    return _fitting(rows, [len(row.ids) for row in rows], context, "demonstrations")


def prompt_rows(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt], room: int
) -> tuple[list[tuple[Prompt, list[int]]], int]:
    """Each prompt with its token ids, and how many exceed `room` (the context less the response)."""
    rows = [(prompt, encode_prompt(tokenizer, chat(prompt.messages))) for prompt in prompts]
    return _fitting(rows, [len(ids) for _, ids in rows], room, "prompts")


def ranked_rows(
    tokenizer: PreTrainedTokenizerBase, rankings: Sequence[Ranking], context: int
) -> tuple[list[tuple[Ranking, EncodedRanking]], int]:
    """Each ranking with its K rows, and how many rankings contained a response that is too long."""
    rows = []
    for ranking in rankings:
        prompt = encode_prompt(tokenizer, chat(ranking.prompt.messages))
        ids = {text: prompt + encode_response(tokenizer, text) for text in set(ranking.responses)}
        row = EncodedRanking(
            [ids[text] for text in ranking.responses], list(ranking.ranks), len(prompt), ranking.id
        )
        rows.append((ranking, row))
    return _fitting(rows, [max(map(len, row.rows)) for _, row in rows], context, "rankings")


def _fitting(rows: list, lengths: list[int], room: int, what: str) -> tuple[list, int]:
    kept = [row for row, length in zip(rows, lengths, strict=True) if length <= room]
    if rows and not kept:
        raise NothingFits(
            f"none of the {len(rows)} {what} fits into {room} tokens; raise pretrain.context, or take "
            "another base"
        )
    return kept, len(rows) - len(kept)
