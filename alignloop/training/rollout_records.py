"""The responses that a step of training drew, as records."""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from alignloop.core.experience import Rollouts
from alignloop.core.tokens import decode
from alignloop.records import Rollout
from alignloop.tool_turns import Turns


def rollout_records(
    drawn: Rollouts,
    step: int,
    round: str,
    tokenizer: PreTrainedTokenizerBase,
    prompt_of: Mapping[tuple[int, ...], str],
    turns_of: Callable[[Sequence[int]], Turns | None] = lambda ids: None,
) -> list[Rollout]:
    """A record for each response; `prompt_of` has the id of each prompt by its tokens.

    With tools, `turns_of` finds the turns of a response, of which the last is what it says.
    """
    own = drawn.own_ids
    turns = [turns_of(ids) for ids in drawn.responses]
    return [
        Rollout(
            id=f"{round}-{step}-{place}",
            prompt=prompt_of[tuple(drawn.prompts[place])],
            response=said[-1].text if (said := turns[place]) else decode(tokenizer, drawn.responses[place]),
            step=step,
            ended=drawn.ended[place],
            tokens=len(own[place]),
            score=round_off(drawn.scores[place]),
            scores={name: round_off(part[place]) for name, part in drawn.parts.items()} or None,
            kl=round_off(drawn.kl[place]),
            reward=round_off(drawn.rewards[place]),
            round=round,
            turns=turns[place],
        )
        for place in range(len(drawn.responses))
    ]


def round_off(number: Tensor) -> float:
    """Six decimals are enough for a record."""
    return round(float(number), 6)
