"""From records to token rows. Rows that a model's context cannot hold are left out and counted: the stage reports the count."""

from collections.abc import Sequence
from dataclasses import replace

from transformers import PreTrainedTokenizerBase

from alignloop.core.reward import EncodedRanking
from alignloop.core.tokens import Encoded, encode_dialogue, encode_prompt, encode_response, encode_text
from alignloop.errors import AlignloopError
from alignloop.records import Demonstration, Document, Message, Prompt, Ranking


class NothingFits(AlignloopError):
    """All of a set is too long for the model."""


def spoken(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Messages as chat templates read them."""
    return [{"role": message.role, "content": message.content} for message in messages]


def document_rows(
    tokenizer: PreTrainedTokenizerBase, documents: Sequence[Document], context: int
) -> list[Encoded]:
    """A row per document, all of it learned; longer ones are cut into rows of `context` tokens, none is lost."""
    rows: list[Encoded] = []
    for document in documents:
        if document.text is not None:
            row = encode_text(tokenizer, document.text)
        else:
            dialogue = encode_dialogue(tokenizer, spoken(document.messages or ()), "all")
            row = Encoded(dialogue.ids, [True] * len(dialogue.ids))
        starts = range(0, len(row.ids), context)
        rows += [
            Encoded(row.ids[start : start + context], row.mask[start : start + context], document.id)
            for start in starts
        ]
    return [row for row in rows if len(row.ids) > 1]


def demonstration_rows(
    tokenizer: PreTrainedTokenizerBase, demonstrations: Sequence[Demonstration], turns: str, context: int
) -> tuple[list[Encoded], int]:
    """A row per demonstration with the loss on assistant turns, and how many were too long."""
    rows = [
        replace(encode_dialogue(tokenizer, spoken(each.messages), turns), name=each.id)
        for each in demonstrations
    ]
    return _fitting(rows, [len(row.ids) for row in rows], context, "demonstrations")


def prompt_rows(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt], room: int
) -> tuple[list[tuple[Prompt, list[int]]], int]:
    """Each prompt with its ids, and how many were longer than `room` (the context less the answer)."""
    rows = [(prompt, encode_prompt(tokenizer, spoken(prompt.messages))) for prompt in prompts]
    return _fitting(rows, [len(ids) for _, ids in rows], room, "prompts")


def ranked_rows(
    tokenizer: PreTrainedTokenizerBase, rankings: Sequence[Ranking], context: int
) -> tuple[list[tuple[Ranking, EncodedRanking]], int]:
    """Each ranking with its K rows, and how many held an answer that is too long."""
    rows = []
    for ranking in rankings:
        prompt = encode_prompt(tokenizer, spoken(ranking.prompt.messages))
        answers = {
            response: prompt + encode_response(tokenizer, response) for response in set(ranking.responses)
        }
        rows.append(
            (
                ranking,
                EncodedRanking(
                    [answers[response] for response in ranking.responses],
                    list(ranking.ranks),
                    len(prompt),
                    ranking.id,
                ),
            )
        )
    return _fitting(rows, [max(map(len, row.rows)) for _, row in rows], context, "rankings")


def _fitting(rows: list, lengths: list[int], room: int, what: str) -> tuple[list, int]:
    kept = [row for row, length in zip(rows, lengths, strict=True) if length <= room]
    if rows and not kept:
        raise NothingFits(
            f"none of the {len(rows)} {what} fits into {room} tokens; raise pretrain.context, or take another base"
        )
    return kept, len(rows) - len(kept)
