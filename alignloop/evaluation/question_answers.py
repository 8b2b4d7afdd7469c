"""A policy's answers to questions of several turns: each turn follows the policy's own earlier answers.

Every answer has a seed of its own, by the policy's bytes, the question and the turn, so that it does not
depend on what is drawn beside it. Answers are kept in a folder batch by batch: an interrupted run draws none
of them twice.
"""

import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alignloop.core.models import context_of, token_rules
from alignloop.core.sampler import OwnSampler
from alignloop.core.tokens import decode, encode_prompt
from alignloop.evaluation.questions import Question
from alignloop.files import replacing
from alignloop.seeds import seed_of


@dataclass(frozen=True)
class Drawing:
    """How answers are drawn: `name` is the policy's, by which its random numbers are its own."""

    name: str
    seed: int
    temperature: float
    max_new_tokens: int
    batch: int


@dataclass
class Answers:
    """The answers by question, a text for each turn, and the questions that did not fit at some turn."""

    by_id: dict[str, tuple[str, ...]]
    too_long: list[str]


def answer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[Question],
    how: Drawing,
    *,
    folder: Path,
    found: Answers,
) -> Generator[tuple[int, int], None, None]:
    """Draw what `folder` does not hold yet, into `found`; yields how many turns of how many are answered.

    A question whose dialogue leaves no room for an answer has none, and is in `found.too_long`.
    """
    sampler, rules = OwnSampler(), token_rules(tokenizer, model)
    sampler.follow(model)
    room = context_of(model) - how.max_new_tokens
    total, done = sum(len(question.turns) for question in questions), 0
    texts: dict[str, tuple[str, ...]] = {question.id: () for question in questions}
    for turn in range(max(len(question.turns) for question in questions)):
        rows: list[tuple[Question, list[int]]] = []
        for question in questions:
            if len(question.turns) > turn and question.id not in found.too_long:
                ids = encode_prompt(tokenizer, dialogue(question, texts[question.id]))
                if len(ids) <= room:
                    rows.append((question, ids))
                else:
                    found.too_long.append(question.id)
                    total -= len(question.turns) - turn
        for start in range(0, len(rows), how.batch):
            part = rows[start : start + how.batch]
            file = folder / f"{turn + 1}-{start:06}.json"
            if not file.is_file():
                drawn = sampler.draw(
                    [ids for _, ids in part],
                    rules,
                    temperature=how.temperature,
                    max_new_tokens=how.max_new_tokens,
                    generator=torch.Generator(),
                    batch=how.batch,
                    seeds=[_seed(how, question, turn) for question, _ in part],
                )
                kept = {
                    question.id: decode(tokenizer, row)
                    for (question, _), row in zip(part, drawn.ids, strict=True)
                }
                with replacing(file) as new:
                    new.write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")
            for name, text in json.loads(file.read_text(encoding="utf-8")).items():
                texts[name] += (text,)
            done += len(part)
            yield done, total
    left = set(found.too_long)
    found.by_id |= {name: answers for name, answers in texts.items() if name not in left}


def dialogue(question: Question, answers: Sequence[str]) -> list[Mapping[str, str]]:
    """The messages up to the turn that is answered next."""
    messages: list[Mapping[str, str]] = [{"role": "user", "content": question.turns[0]}]
    for answered, turn in zip(answers, question.turns[1:], strict=False):
        messages += [{"role": "assistant", "content": answered}, {"role": "user", "content": turn}]
    return messages


def as_response(question: Question, answers: Sequence[str]) -> str:
    """A whole dialogue after the first question, as one text that a judge reads."""
    parts = [answers[0]]
    for turn, answered in zip(question.turns[1:], answers[1:], strict=True):
        parts += [f"[user]\n{turn}", f"[assistant]\n{answered}"]
    return "\n\n".join(parts)


def _seed(how: Drawing, question: Question, turn: int) -> int:
    return seed_of(how.seed, "questions", how.name, question.id, str(turn)) % 2**31
