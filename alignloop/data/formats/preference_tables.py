"""Preference sets of a shape of their own: Nectar, Arena, OpenAI, PKU-SafeRLHF, JSON-MIN, …

https://huggingface.co/datasets/berkeley-nest/Nectar and lmsys/chatbot_arena_conversations,
https://platform.openai.com/docs/guides/direct-preference-optimization, PKU-Alignment/PKU-SafeRLHF,
https://huggingface.co/datasets/Intel/orca_dpo_pairs and LLaMA-Factory's preferences in Alpaca's shape,
https://labelstud.io/guide/export

Each row is a ranking. Of PKU-SafeRLHF the better response counts; which one is safer is not read. Ties of
the Arena are ties, both good or both bad.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel

from alignloop.data.formats import unread_fields
from alignloop.data.formats.alpaca import Exchange
from alignloop.data.formats.importer import (
    Format,
    Imported,
    ImportedRow,
    Refused,
    convert_rows,
    has_keys,
    ranks_of,
)
from alignloop.data.formats.label_studio import PAIRS, PROMPTS, RANKS
from alignloop.data.formats.record_builders import Turns, chat_turns, prompt, ranking
from alignloop.data.formats.role_marks import asked
from alignloop.data.formats.written_values import WrittenId, WrittenInt, WrittenNumber, WrittenText

WINNERS = {
    "model_a": (1, 2),
    "model_b": (2, 1),
    "tie": (1, 1),
    "tie (bothbad)": (1, 1),
    "both_bad": (1, 1),
}


ASIDE = (
    "turns",
    "num_responses",
    "good_natured",
    "model_a",
    "model_b",
    "anony",
    "openai_moderation",
    "toxic_chat_tag",
    "is_response_0_safe",
    "is_response_1_safe",
    "is_safe",
    "safer_response_id",
    "response_0_severity_level",
    "response_1_severity_level",
    "response_0_harm_category",
    "response_1_harm_category",
    "response_0_sha256",
    "response_1_sha256",
)


class Compared(NamedTuple):
    """What a row compares: the prompt's turns, the responses, their ranks, and who ranked them."""

    turns: Turns
    responses: Sequence[str]
    ranks: tuple[int, ...]
    labeler: str = ""
    kind: Literal["person", "judge"] = "person"
    row: str = ""


class Answer(BaseModel):
    answer: WrittenText
    rank: WrittenNumber


class Nectar(BaseModel):
    prompt: WrittenText
    answers: list[Answer]


class Message(BaseModel):
    role: str
    content: WrittenText
    tool_calls: list[Any] | None = None


class Battle(BaseModel):
    question_id: WrittenId = ""
    conversation_a: list[Message]
    conversation_b: list[Message]
    winner: str
    judge: WrittenId = ""


class Input(BaseModel):
    messages: list[Message]
    tools: list[Any] | None = None
    parallel_tool_calls: bool | None = None


class Preference(BaseModel):
    input: Input
    preferred_output: list[Message]
    non_preferred_output: list[Message]


class SafePair(BaseModel):
    prompt: WrittenText
    response_0: WrittenText
    response_1: WrittenText
    better_response_id: WrittenInt


class Instructed(BaseModel):
    system: WrittenText | None = None
    instruction: WrittenText | None = None
    question: WrittenText | None = None
    input: WrittenText | None = None
    history: list[Exchange] | None = None
    chosen: WrittenText
    rejected: WrittenText


class Minimal(BaseModel, extra="allow"):
    annotator: WrittenId
    annotation_id: WrittenId = ""


def _nectar(row: Nectar) -> Compared | Refused:
    if len(row.answers) < 2:
        return Refused("fewer than two answers")
    ranks = ranks_of([answer.rank for answer in row.answers])
    return Compared(asked(row.prompt), [answer.answer for answer in row.answers], ranks, kind="judge")


def _battle(row: Battle) -> Compared | Refused:
    sides = [_said(row.conversation_a), _said(row.conversation_b)]
    if row.winner not in WINNERS:
        return Refused("a winner that is neither model_a, model_b nor a tie")
    if any(not side or side[-1][0] != "assistant" for side in sides):
        return Refused("a conversation that does not end with a response")
    if sides[0][:-1] != sides[1][:-1]:
        return Refused("the conversations part before the last turn")
    judge = row.judge
    kind = "judge" if judge.lower().startswith("gpt") else "person"
    labeler = f"arena-{judge}"[:150] if judge else ""
    responses = [side[-1][1] for side in sides]
    return Compared(
        sides[0][:-1], responses, WINNERS[row.winner], labeler=labeler, kind=kind, row=row.question_id
    )


def _preference(row: Preference) -> Compared | Refused:
    ends = [row.preferred_output, row.non_preferred_output]
    if row.input.tools or any(turn.tool_calls for turn in (*row.input.messages, *ends[0], *ends[1])):
        return Refused("tools, or calls of tools")
    if any([turn.role for turn in end] != ["assistant"] for end in ends):
        return Refused("the outputs are not one response each")
    return Compared(_said(row.input.messages), [end[0].content for end in ends], (1, 2))


def _safe_pair(row: SafePair) -> Compared | Refused:
    if row.better_response_id not in (0, 1):
        return Refused("a better response that is neither 0 nor 1")
    ranks = (2, 1) if row.better_response_id else (1, 2)
    return Compared(asked(row.prompt), [row.response_0, row.response_1], ranks)


def _instructed(row: Instructed) -> Compared | Refused:
    parts = [part for part in (row.instruction, row.question, row.input) if part and part.strip()]
    before = [("system", row.system)] if row.system and row.system.strip() else []
    for said, answer in row.history or ():
        before += [("user", said), ("assistant", answer)]
    return Compared([*before, *asked("\n\n".join(parts))], [row.chosen, row.rejected], (1, 2))


def _minimal(row: Minimal) -> Compared | Refused:
    fields = row.model_extra or {}
    pair = next((pair for pair in PAIRS if all(isinstance(fields.get(key), str) for key in pair)), None)
    asking = next((key for key in PROMPTS if chat_turns(fields.get(key))), "")
    turns = chat_turns(fields.get(asking))
    choices = {
        key: value
        for key, value in fields.items()
        if isinstance(value, str) and value in RANKS and key not in (pair or ())
    }
    if pair is None or turns is None or len(choices) != 1:
        return Refused("no prompt, no two answers, or not one choice of left or right: export JSON instead")
    if lost := unread_fields.beside(fields, {asking, *pair, *choices}, ("lead_time",)):
        return Refused(unread_fields.reason(lost))
    labeler = f"label-studio-{row.annotator}"
    return Compared(
        turns,
        [fields[key] for key in pair],
        RANKS[next(iter(choices.values()))],
        labeler=labeler,
        row=row.annotation_id,
    )


def _said(messages: Sequence[Message]) -> Turns:
    return [(message.role, message.content) for message in messages]


def _format(
    name: str,
    description: str,
    matches: Callable[[Any], bool],
    row: type[BaseModel],
    compare: Callable[[Any], Compared | Refused],
) -> Format:
    return Format(description, matches, partial(_read, name, row, compare))


def _read(
    name: str,
    row: type[BaseModel],
    compare: Callable[[Any], Compared | Refused],
    path: Path,
    source: str,
) -> Iterator[ImportedRow]:
    return convert_rows(path, row, lambda parsed: [_record(name, compare(parsed), source)], ASIDE)


def _record(name: str, found: Compared | Refused, source: str) -> Imported:
    if isinstance(found, Refused):
        return found
    if len({response.strip() for response in found.responses}) < 2:
        return Refused("all responses are the same")
    return ranking(
        name,
        prompt(name, found.turns, source),
        found.responses,
        found.ranks,
        labeler=found.labeler,
        kind=found.kind,
        row=found.row,
    )


def _has_answers(row: Any) -> bool:
    answers = row["answers"] if has_keys(row, "prompt", "answers") else None
    return (
        isinstance(answers, list)
        and bool(answers)
        and all(has_keys(each, "answer", "rank") for each in answers)
    )


NECTAR = _format("nectar", "{prompt, answers: [{answer, rank}]}", _has_answers, Nectar, _nectar)
ARENA = _format(
    "arena",
    "{conversation_a, conversation_b, winner}",
    lambda row: has_keys(row, "conversation_a", "conversation_b", "winner"),
    Battle,
    _battle,
)
OPENAI_PREFERENCE = _format(
    "openai-preference",
    "{input: {messages}, preferred_output, non_preferred_output}",
    lambda row: has_keys(row, "input", "preferred_output", "non_preferred_output"),
    Preference,
    _preference,
)
SAFE_RLHF = _format(
    "safe-rlhf",
    "{prompt, response_0, response_1, better_response_id}",
    lambda row: has_keys(row, "prompt", "response_0", "response_1", "better_response_id"),
    SafePair,
    _safe_pair,
)
INSTRUCTED = _format(
    "instruction-preference",
    "{instruction or question, input, chosen, rejected}, and system and history",
    lambda row: (
        has_keys(row, "chosen", "rejected")
        and (has_keys(row, "instruction") or has_keys(row, "question"))
        and not has_keys(row, "prompt")
    ),
    Instructed,
    _instructed,
)
LABEL_STUDIO_MIN = _format(
    "label-studio-min",
    "Label Studio's JSON-MIN with a Pairwise result: {prompt, answer1, answer2, NAME: left, annotator}",
    lambda row: has_keys(row, "annotator", "annotation_id"),
    Minimal,
    _minimal,
)
