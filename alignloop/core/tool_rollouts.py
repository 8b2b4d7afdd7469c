"""Responses of several turns: the policy calls a tool, is answered, and goes on, up to its last turn.

Tokens stay what they are: a turn is the ids that were drawn, an answer is ids as well, and neither is ever
turned into text and back. A turn ends with the end token; the answer that follows it opens the next one. The
first turn of every row is drawn as a response without tools; a later one draws from a seed of its own, so
that what a row does, does not depend on its neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from alignloop.core.generate import Responses
from alignloop.core.sampler import SEEDS, Sampler
from alignloop.core.tokens import TokenRules


@dataclass(frozen=True)
class Answer:
    """A tool's answer as tokens, up to the opening of the next turn, and how the call ended (`OUTCOMES`)."""

    ids: list[int]
    outcome: str


class Tools(Protocol):
    """Who answers. A call is a turn that ended and has the form of a call, right or wrong."""

    @property
    def outcomes(self) -> Sequence[str]:
        """All that an answer may have; the first: the call was right."""
        ...

    def is_call(self, turn: Sequence[int]) -> bool: ...

    def offered(self, prompt: Sequence[int]) -> bool:
        """Whether a prompt tells of the tools. A call from one that does not is text, and never answered."""
        ...

    def not_offered(self) -> None:
        """Take note of such a call."""
        ...

    def answer(self, turns: Sequence[Sequence[int]], prompts: Sequence[Sequence[int]]) -> list[Answer]:
        """An answer to each call, in their order, whatever a call or a tool does; to these prompts.

        It raises where a tool can answer no call any more.
        """
        ...


@dataclass
class _Row:
    """A response while it is drawn."""

    ids: list[int] = field(default_factory=list)
    own: list[bool] = field(default_factory=list)
    logprobs: list[Tensor] = field(default_factory=list)
    its: list[Tensor] = field(default_factory=list)  # log-probabilities by a sampler apart
    turn: list[int] = field(default_factory=list)  # the last one that was drawn
    ended: bool = False
    calls: int = 0

    def add_turn(self, drawn: Responses, place: int) -> None:
        self.turn, self.ended = drawn.ids[place], drawn.ended[place]
        self.ids += self.turn
        self.own += [True] * len(self.turn)
        self.logprobs.append(drawn.logprobs[place])
        if drawn.sampler_logprobs is not None:
            self.its.append(drawn.sampler_logprobs[place])

    def add_answer(self, ids: list[int]) -> None:
        self.ids += ids
        self.own += [False] * len(ids)
        self.calls += 1


class ToolSampler:
    """A sampler whose responses may call tools, `max_calls` times each; `sampler` draws their turns.

    A response that ends with one call more has not ended: nobody answers it, and the policy has said nothing.
    To a prompt that offers no tools a call is what the response says.
    """

    def __init__(self, sampler: Sampler, tools: Tools, max_calls: int) -> None:
        self._sampler, self._tools = sampler, tools
        self._max_calls = max_calls

    def follow(self, model: PreTrainedModel) -> None:
        self._sampler.follow(model)

    def draw(
        self,
        prompts: Sequence[list[int]],
        rules: TokenRules,
        *,
        temperature: float,
        max_new_tokens: int,
        generator: torch.Generator,
        batch: int,
        seeds: Sequence[int] | None = None,
    ) -> Responses:
        """One response per prompt, each of its turns at most `max_new_tokens` tokens."""
        rows = [_Row() for _ in prompts]
        offered = [self._tools.offered(prompt) for prompt in prompts]
        outcomes = dict.fromkeys(self._tools.outcomes, 0)

        def draw_turns(places: Sequence[int], their_seeds: Sequence[int] | None) -> None:
            drawn = self._sampler.draw(
                [prompts[place] + rows[place].ids for place in places],
                rules,
                temperature=temperature,
                max_new_tokens=max_new_tokens,
                generator=generator,
                batch=batch,
                seeds=their_seeds,
            )
            for index, place in enumerate(places):
                rows[place].add_turn(drawn, index)

        draw_turns(range(len(prompts)), seeds)
        # drawn whether they are needed or not, so that the generator's state does not depend on the calls
        later = torch.randint(SEEDS, (len(prompts), self._max_calls), generator=generator).tolist()
        calls = self._calling(rows, range(len(rows)))
        calling = [place for place in calls if offered[place]]
        if not_offered := len(calls) - len(calling):
            self._tools.not_offered()
        for number in range(self._max_calls):
            if not calling:
                break
            answers = self._tools.answer(
                [rows[place].turn for place in calling], [prompts[place] for place in calling]
            )
            for place, answer in zip(calling, answers, strict=True):
                rows[place].add_answer(answer.ids)
                outcomes[answer.outcome] += 1
            draw_turns(calling, [later[place][number] for place in calling])
            calling = self._calling(rows, calling)
        for place in calling:
            rows[place].ended = False
        return Responses(
            [row.ids for row in rows],
            [torch.cat(row.logprobs) for row in rows],
            [row.ended for row in rows],
            [torch.cat(row.its) for row in rows] if rows[0].its else None,
            own=[row.own for row in rows],
            counts={
                "tool_calls": sum(row.calls for row in rows) / len(rows),
                "tool_unanswered": len(calling) / len(rows),
                "tool_not_offered": float(not_offered),
                **{f"tool_{name}": float(count) for name, count in outcomes.items()},
            },
        )

    def _calling(self, rows: Sequence[_Row], places: Sequence[int]) -> list[int]:
        """Which of these rows wait for an answer."""
        return [place for place in places if rows[place].ended and self._tools.is_call(rows[place].turn)]
