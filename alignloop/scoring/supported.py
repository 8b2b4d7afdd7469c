"""Whether a response is supported by what it cites, as a part of the score: exact, or by a judge model.

`supported` is 1 where what the response states is in the passages that it cites and was shown, else 0.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from alignloop.core.numeric_checks import MOST_NAMES
from alignloop.records import Prompt
from alignloop.retrieval.citations import citations, retrieved
from alignloop.scoring.drawn import Drawn, fault
from alignloop.world.support import supported


def cited_passages(response: str, answers: Sequence[str]) -> list[str]:
    """The texts of the passages that a response cites and was shown, each with its title."""
    shown = retrieved(answers)
    return [
        f"{shown[number].title}. {shown[number].text}" for number in citations(response) if number in shown
    ]


class Supported:
    """The test of the built-in environment's documented facts. Raises ScoreError for other prompts."""

    def __init__(self, part: str, prompts: Sequence[Prompt]) -> None:
        others = [each.id for each in prompts if each.category != "documented" or each.key is None]
        if others:
            raise fault(
                part,
                others[: MOST_NAMES + 1],
                f"ask for no documented fact of the built-in environment ({len(others):,} of "
                f"{len(prompts):,} prompts), so nothing says what their responses state",
                "name a judge model (judge: {url, name}), or leave these prompts out",
            )

    def __call__(self, drawn: Drawn) -> Tensor:
        assert drawn.answers is not None, "params.yaml is refused without tools"
        return torch.tensor(
            [
                float(supported(prompt, text, cited_passages(text, answers)))
                for prompt, text, answers in zip(drawn.prompts, drawn.texts, drawn.answers, strict=True)
            ]
        )
