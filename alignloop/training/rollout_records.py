"""The responses that a step of training drew, as records."""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from alignloop.core.experience import Rollouts
from alignloop.core.tokens import decode
from alignloop.records import Rollout, RolloutTurn


def rollout_records(
    drawn: Rollouts,
    step: int,
    round: str,
    tokenizer: PreTrainedTokenizerBase,
    prompt_of: Mapping[tuple[int, ...], str],
    turns_of: Callable[[Sequence[int]], list[RolloutTurn]] | None = None,
) -> list[Rollout]:
    """A record for each response; `prompt_of` has the id of each prompt by its tokens.

    With tools, `turns_of` finds the turns of a response, of which the last is what it says.
    """
    own = drawn.own_ids
    turns = [turns_of(ids) for ids in drawn.responses] if turns_of else None
    return [
        Rollout(
            id=f"{round}-{step}-{place}",
            prompt=prompt_of[tuple(drawn.prompts[place])],
            response=turns[place][-1].text if turns else decode(tokenizer, drawn.responses[place]),
            step=step,
            ended=drawn.ended[place],
            tokens=len(own[place]),
            score=round_off(drawn.scores[place]),
            scores={name: round_off(part[place]) for name, part in drawn.parts.items()} or None,
            kl=round_off(drawn.kl[place]),
            reward=round_off(drawn.rewards[place]),
            round=round,
            turns=tuple(turns[place]) if turns else None,
        )
        for place in range(len(drawn.responses))
    ]


def round_off(number: Tensor) -> float:
    """Six decimals are enough for a record."""
    return round(float(number), 6)
