"""Anthropic's HH-RLHF: two transcripts that differ in the last answer; people chose one. https://github.com/anthropics/hh-rlhf

The prompt is what both transcripts share, up to the last turn of the assistant that begins in both. The files hold pairs that
part earlier, answers in which the model went on and spoke for the person too, empty turns and equal pairs: those are refused,
except an empty last answer, which is an answer that people saw and ranked. A conversation appears once per turn; its first
words are the user, so that all of it falls into one split.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from os.path import commonprefix
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from alignloop.data.content_ids import identify
from alignloop.data.formats.importer import Format, Item, Refused, each, has
from alignloop.records import Message, Prompt, Ranking

ANSWER = "\n\nAssistant:"
TURN = re.compile(r"\n\n(Human|Assistant):")
ROLES = {"Human": "user", "Assistant": "assistant"}


class Pair(BaseModel):
    chosen: str
    rejected: str


def _sees(row: Any) -> bool:
    return has(row, "chosen", "rejected") and all(
        str(row[key]).startswith("\n\nHuman:") for key in ("chosen", "rejected")
    )


def _read(path: Path, source: str) -> Iterator[Item]:
    folder = (
        Path(source).parent.name or "dialogue"
    )  # harmless-base, helpful-online, …: the kind of conversation
    return each(path, Pair, lambda pair: _ranking(pair, source, folder))


def _ranking(pair: Pair, source: str, category: str) -> Iterator[Ranking | Refused]:
    shared = commonprefix([pair.chosen, pair.rejected])  # noqa: RUF071  of characters, as wanted
    before, found, _ = shared.rpartition(ANSWER)
    answers = tuple(
        transcript[len(before) + len(found) :].strip() for transcript in (pair.chosen, pair.rejected)
    )
    turns = [
        (ROLES[role], said.strip()) for role, said in zip(*[iter(TURN.split(before)[1:])] * 2, strict=True)
    ]
    if refused := _refused(before, found, turns, answers):
        yield Refused(refused)
        return
    prompt = Prompt(
        id=identify("hh-rlhf", *(said for _, said in turns)),
        messages=tuple(Message.model_validate({"role": role, "content": said}) for role, said in turns),
        user=identify("hh-rlhf", turns[0][1]),
        category=category,
        source=source,
    )
    yield Ranking(
        id=identify("hh-rlhf", pair.chosen, pair.rejected),
        prompt=prompt,
        responses=answers,
        ranks=(1, 2),
        labeler="hh-rlhf",
        kind="person",
        policy="hh-rlhf",
        round="imported",
    )


def _refused(before: str, found: str, turns: list[tuple[str, str]], answers: tuple[str, ...]) -> str | None:
    if not found or not before.startswith("\n\nHuman:"):
        return "the transcripts share no prompt"
    if answers[0] == answers[1]:
        return "chosen and rejected are the same"
    if any(TURN.search(answer) for answer in answers):
        return "the transcripts part before the last turn"
    if not all(said for _, said in turns):
        return "an empty turn before the last"
    if any(role == after for (role, _), (after, _) in pairwise(turns)) or turns[-1][0] != "user":
        return "a speaker talks twice in a row"
    return None


HH_RLHF = Format("{chosen, rejected}: transcripts that begin with '\\n\\nHuman:'", _sees, _read)
