"""Verifiable rewards as parts of the score: the final number, and the instructions, of a prompt's `check`."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from alignloop.core.numeric_checks import MOST_NAMES
from alignloop.records import Prompt
from alignloop.scoring.drawn import Drawn, fault
from alignloop.scoring.final_number import final_number, number
from alignloop.scoring.instructions import rule_of, share_followed

Rule = Callable[[str], float]  # a response -> 0 to 1
REMEDY = "put it into the record's `check` (data/README.md), or leave these prompts out"


class Verifiable:
    """A rule per prompt. Raises ScoreError for all prompts whose record holds nothing to check against."""

    def __init__(self, part: str, kind: str, prompts: Sequence[Prompt]) -> None:
        make = {"final_number": number_rule, "instructions": instructions_rule}[kind]
        self._rules: dict[str, Rule] = {}
        faults: list[tuple[str, str]] = []
        for prompt in prompts:
            try:
                self._rules[prompt.id] = make(prompt)
            except ValueError as error:
                faults.append((prompt.id, str(error)))
        if faults:
            ids = [id for id, _ in faults]
            counted = f"{faults[0][1]} ({len(ids):,} of {len(prompts):,} prompts)"
            raise fault(part, ids[: MOST_NAMES + 1] if len(ids) > MOST_NAMES else ids, counted, REMEDY)

    def __call__(self, drawn: Drawn) -> Tensor:
        return torch.tensor(
            [self._rules[prompt.id](text) for prompt, text in zip(drawn.prompts, drawn.texts, strict=True)]
        )


def number_rule(prompt: Prompt) -> Rule:
    """1 where a response's final number equals `check.answer`. Raises ValueError without such a number."""
    answer = prompt.checked().answer
    if answer is None:
        raise ValueError("the record has no check.answer")
    right = number(answer)
    if right is None:
        raise ValueError(f"check.answer {answer[:40]!r} is no number")
    return lambda text: float(final_number(text) == right)


def instructions_rule(prompt: Prompt) -> Rule:
    """The share of `check.instructions` that a response follows. Raises ValueError without any."""
    asked = prompt.checked().instructions
    if not asked:
        raise ValueError("the record has no check.instructions")
    rules = [rule_of(instruction) for instruction in asked]
    return lambda text: share_followed(rules, text)
