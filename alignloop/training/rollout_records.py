"""The responses that a step of training drew, as records."""

from collections.abc import Mapping

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from alignloop.core.experience import Rollouts
from alignloop.core.tokens import decode
from alignloop.records import Rollout


def rollout_records(
    drawn: Rollouts,
    step: int,
    round: str,
    tokenizer: PreTrainedTokenizerBase,
    prompt_of: Mapping[tuple[int, ...], str],
) -> list[Rollout]:
    """A record for each response; `prompt_of` has the id of each prompt by its tokens."""
    return [
        Rollout(
            id=f"{round}-{step}-{place}",
            prompt=prompt_of[tuple(drawn.prompts[place])],
            response=decode(tokenizer, drawn.responses[place]),
            step=step,
            ended=drawn.ended[place],
            tokens=len(drawn.responses[place]),
            score=round_off(drawn.scores[place]),
            scores={name: round_off(part[place]) for name, part in drawn.parts.items()} or None,
            kl=round_off(drawn.kl[place]),
            reward=round_off(drawn.rewards[place]),
            round=round,
        )
        for place in range(len(drawn.responses))
    ]


def round_off(number: Tensor) -> float:
    """Six decimals are enough for a record."""
    return round(float(number), 6)
