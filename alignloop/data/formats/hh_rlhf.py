"""Anthropic's HH-RLHF: two transcripts that differ in the last response, of which people chose one.

https://github.com/anthropics/hh-rlhf

The prompt is the common part of both transcripts, up to the last assistant turn that begins in both.
Refused are pairs that diverge earlier, responses in which the model also wrote the human's turn, empty
turns and equal pairs. An empty last response is kept: people saw and ranked it. A conversation appears
once per turn; its first message identifies the user, so that all of it is in one split.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from os.path import commonprefix
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from alignloop.data.content_ids import content_id
from alignloop.data.formats.importer import Format, ImportedRow, Refused, convert_rows, has_keys
from alignloop.records import Message, Prompt, Ranking

ASSISTANT = "\n\nAssistant:"
TURN = re.compile(r"\n\n(Human|Assistant):")
ROLES = {"Human": "user", "Assistant": "assistant"}


class Pair(BaseModel):
    chosen: str
    rejected: str


def is_pair(row: Any) -> bool:
    """Whether a row is a pair of transcripts in this format."""
    return has_keys(row, "chosen", "rejected") and all(
        str(row[key]).startswith("\n\nHuman:") for key in ("chosen", "rejected")
    )


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    folder = Path(source).parent.name or "dialogue"  # harmless-base, helpful-online, …: the category
    return convert_rows(path, Pair, lambda pair: _ranking(pair, source, folder))


def _ranking(pair: Pair, source: str, category: str) -> Iterator[Ranking | Refused]:
    shared = commonprefix([pair.chosen, pair.rejected])  # noqa: RUF071  characters are intended
    before, separator, _ = shared.rpartition(ASSISTANT)
    responses = tuple(
        transcript[len(before) + len(separator) :].strip() for transcript in (pair.chosen, pair.rejected)
    )
    parts = TURN.split(before)[1:]
    turns = [(ROLES[role], text.strip()) for role, text in zip(parts[::2], parts[1::2], strict=True)]
    if reason := _refusal(before, separator, turns, responses):
        yield Refused(reason)
        return
    prompt = Prompt(
        id=content_id("hh-rlhf", *(text for _, text in turns)),
        messages=tuple(Message.model_validate({"role": role, "content": text}) for role, text in turns),
        user=content_id("hh-rlhf", turns[0][1]),
        category=category,
        source=source,
    )
    yield Ranking(
        id=content_id("hh-rlhf", pair.chosen, pair.rejected),
        prompt=prompt,
        responses=responses,
        ranks=(1, 2),
        labeler="hh-rlhf",
        kind="person",
        policy="hh-rlhf",
        round="imported",
    )


def _refusal(
    before: str, separator: str, turns: list[tuple[str, str]], responses: tuple[str, ...]
) -> str | None:
    """Why a pair cannot be used; None if it can."""
    if not separator or not before.startswith("\n\nHuman:"):
        return "the transcripts share no prompt"
    if responses[0] == responses[1]:
        return "chosen and rejected are the same"
    if any(TURN.search(response) for response in responses):
        return "the transcripts part before the last turn"
    if not all(text for _, text in turns):
        return "an empty turn before the last"
    if any(role == after for (role, _), (after, _) in pairwise(turns)) or turns[-1][0] != "user":
        return "a speaker talks twice in a row"
    return None


HH_RLHF = Format("{chosen, rejected}: transcripts that begin with '\\n\\nHuman:'", is_pair, _read)
