"""The responses that a model generates together; one may join or leave at any step (continuous batching).

Rows are padded on the left in one key-value cache. A prompt is processed once, beside other new ones, and
its rows are then joined to the cache. Padding is masked and positions count real tokens only, so a row's
distribution is that of the row alone, except for rounding: sums of another batch size may differ in their
last bits, as in training's sampler.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from alignloop.core import devices, precision
from alignloop.core.tokens import TokenRules, pad_left
from alignloop.errors import AlignloopError
from alignloop.seeds import draws
from alignloop.serving.sampling import Sampling, draw_tokens

Finish = Literal["stop", "length", "content_filter"]


class UnsupportedCache(AlignloopError):
    """The model keeps something else than keys and values of all tokens: its rows cannot join a batch."""


@dataclass(frozen=True)
class TokenLogprob:
    """A token, its log-probability at temperature 1, and the most probable ones at its place.

    None for the first token of a prompt, which follows nothing.
    """

    token: int
    logprob: float | None
    top: tuple[tuple[int, float], ...]


@dataclass
class Row:
    """One response being generated; `choice` numbers the responses to one request."""

    prompt: tuple[int, ...]
    sampling: Sampling
    choice: int = 0
    drawn: int = 0
    last: int = 0
    numbers: list[float] = field(default_factory=list)  # uniform, one a token

    def __post_init__(self) -> None:
        stream = draws(self.sampling.seed, "serving", str(self.choice))
        self.numbers = stream.random(self.sampling.max_tokens).tolist()

    @property
    def longest(self) -> int:
        """Tokens of prompt and response together, at most."""
        return len(self.prompt) + self.sampling.max_tokens


@dataclass(frozen=True)
class Drawn:
    """A token that a step has drawn for a row."""

    row: Row
    token: int
    is_end: bool  # whether it is the end token
    logprob: TokenLogprob | None
    prompt: tuple[TokenLogprob, ...] = ()  # of the prompt, with the first token, where that is asked for

    @property
    def is_last(self) -> bool:
        """Whether the row has its last token."""
        return self.is_end or self.row.drawn >= self.row.sampling.max_tokens


class RunningBatch:
    """The rows of one model and their cache. One thread uses it."""

    def __init__(self, model: PreTrainedModel, rules: TokenRules) -> None:
        self._model, self._rules = model, rules
        self._device = devices.of(model)
        self._allowed = rules.allowed.to(self._device)
        self.rows: list[Row] = []
        self._clear()

    def _clear(self) -> None:
        self.rows = []
        self._cache = DynamicCache()  # whole layers: a sliding window is a matter of the mask
        self._mask = torch.empty(0, 0, dtype=torch.bool, device=self._device)

    @torch.no_grad()
    def add(self, rows: Sequence[Row]) -> list[Drawn]:
        """Process the prompts of new rows, and draw the first token of each."""
        prompts = list(dict.fromkeys(row.prompt for row in rows))  # equal ones once
        ids, mask = pad_left(prompts, self._rules.end)
        cache = DynamicCache()
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        is_read = any(row.sampling.reads_prompt for row in rows)
        all = self._logits(ids, mask.to(self._device), positions, cache, keep=0 if is_read else 1)
        logits = all[:, -1]
        places = torch.tensor([prompts.index(row.prompt) for row in rows], device=self._device)
        cache.batch_select_indices(places)
        self._join(cache, mask.to(self._device)[places])
        self.rows += rows
        drawn = self._draw(logits[places], rows)
        return [
            replace(each, prompt=self._of_prompt(each.row, all[prompts.index(each.row.prompt)]))
            if each.row.sampling.reads_prompt
            else each
            for each in drawn
        ]

    def _of_prompt(self, row: Row, logits: Tensor) -> tuple[TokenLogprob, ...]:
        """The log-probabilities of a prompt over all tokens, of logits (T, V) padded on the left."""
        ids = row.prompt
        told = torch.log_softmax(logits[len(logits) - len(ids) : -1].float(), -1).cpu()
        values, best = told.topk(min(row.sampling.top_logprobs or 0, told.shape[1]))
        found = [TokenLogprob(ids[0], None, ())]
        for place, token in enumerate(ids[1:]):
            top = tuple(zip(best[place].tolist(), values[place].tolist(), strict=True))
            found.append(TokenLogprob(token, float(told[place, token]), top))
        return tuple(found)

    @torch.no_grad()
    def step(self) -> list[Drawn]:
        """Draw the next token of every row."""
        ids = torch.tensor([[row.last] for row in self.rows])
        positions = self._mask.sum(1, keepdim=True)
        self._mask = functional.pad(self._mask, (0, 1), value=True)
        return self._draw(self._logits(ids, self._mask, positions, self._cache)[:, -1], self.rows)

    def keep(self, rows: Sequence[Row]) -> None:
        """Drop all rows but these."""
        if len(rows) == len(self.rows):
            return
        if not rows:
            self._clear()
            return
        wanted = {id(row) for row in rows}
        places = [place for place, row in enumerate(self.rows) if id(row) in wanted]
        index = torch.tensor(places, device=self._device)
        self.rows, self._mask = [self.rows[place] for place in places], self._mask[index]
        unused = int(self._mask.any(0).long().argmax())  # columns that only dropped rows needed
        self._mask = self._mask[:, unused:]
        for layer in self._layers(self._cache):
            layer.keys, layer.values = (
                part[index][:, :, unused:].contiguous() for part in (layer.keys, layer.values)
            )

    def _logits(
        self, ids: Tensor, mask: Tensor, positions: Tensor, cache: DynamicCache, keep: int = 1
    ) -> Tensor:
        """Logits (B, T, V) of the last `keep` places; 0: of all."""
        with precision.autocast(self._device):
            output = self._model(
                input_ids=ids.to(self._device),
                attention_mask=mask.long(),
                position_ids=positions.to(self._device),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=keep,
            )
        return output.logits

    def _draw(self, logits: Tensor, rows: Sequence[Row]) -> list[Drawn]:
        plans = [row.sampling for row in rows]
        tokens = draw_tokens(
            logits,
            self._allowed,
            torch.tensor([plan.temperature for plan in plans]),
            torch.tensor([plan.top_p for plan in plans]),
            torch.tensor([row.numbers[row.drawn] for row in rows], dtype=torch.float64),
        ).tolist()
        reported = self._logprobs(logits, tokens, plans)
        drawn = []
        for place, (row, token) in enumerate(zip(rows, tokens, strict=True)):
            row.last, row.drawn = token, row.drawn + 1
            drawn.append(Drawn(row, token, token == self._rules.end, reported.get(place)))
        return drawn

    def _logprobs(
        self, logits: Tensor, tokens: Sequence[int], plans: Sequence[Sampling]
    ) -> dict[int, TokenLogprob]:
        """The log-probabilities of the rows that ask for them, by place: temperature 1, allowed tokens."""
        asked = [place for place, plan in enumerate(plans) if plan.top_logprobs is not None]
        if not asked:
            return {}
        index = torch.tensor(asked, device=self._device)
        all = torch.log_softmax(logits[index].float().masked_fill(~self._allowed, float("-inf")), -1).cpu()
        found = {}
        for line, place in enumerate(asked):
            values, best = all[line].topk(min(plans[place].top_logprobs or 0, all.shape[1]))
            top = tuple(
                (token, value)
                for token, value in zip(best.tolist(), values.tolist(), strict=True)
                if value > float("-inf")
            )
            found[place] = TokenLogprob(tokens[place], float(all[line, tokens[place]]), top)
        return found

    def _join(self, cache: DynamicCache, mask: Tensor) -> None:
        """Append the rows of another cache, with the mask (B, T) of their tokens."""
        new = self._layers(cache)
        if not self.rows:
            self._cache, self._mask = cache, mask
            return
        mine, theirs = self._mask.shape[1], mask.shape[1]
        width = max(mine, theirs)
        self._mask = torch.cat([_widened(self._mask, width, 1), _widened(mask, width, 1)])
        for layer, added in zip(self._layers(self._cache), new, strict=True):
            layer.keys = torch.cat([_widened(layer.keys, width, 2), _widened(added.keys, width, 2)])
            layer.values = torch.cat([_widened(layer.values, width, 2), _widened(added.values, width, 2)])

    def _layers(self, cache: DynamicCache) -> list[Any]:
        """The layers that hold something. Raises UnsupportedCache."""
        layers: list[Any] = []
        for layer in cache.layers:
            if isinstance(layer, DynamicLayer) and layer.get_seq_length():
                layers.append(layer)
            elif getattr(layer, "is_initialized", True):
                layers = []
                break
        if not layers:
            kind = self._model.config.model_type
            raise UnsupportedCache(
                f"a model of the family {kind} keeps no keys and values of its tokens, so that responses "
                "cannot be generated together; serve a checkpoint of another family"
            )
        return layers


def _widened(values: Tensor, width: int, dimension: int) -> Tensor:
    """Values padded with zeros before the first, to `width` along a dimension."""
    missing = width - values.shape[dimension]
    after = values.dim() - 1 - dimension
    return functional.pad(values, (0, 0) * after + (missing, 0)) if missing else values
