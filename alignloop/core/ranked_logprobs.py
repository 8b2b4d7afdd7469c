"""Log-probabilities of the responses of rankings, the K responses to a prompt from one pass."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor
from transformers import PreTrainedModel

from alignloop.core.batches import by_length
from alignloop.core.encoded_ranking import EncodedRanking
from alignloop.core.logprobs import policy_logprobs, response_positions
from alignloop.core.models import branched_states, hidden_states
from alignloop.core.packing import pack, packed_attention
from alignloop.core.parallel_passes import in_parallel
from alignloop.core.tokens import TokenRules
from alignloop.phases import counted


@dataclass(frozen=True)
class Reading:
    """How responses are read: the distribution, and whether a ranking is one row with branches (`packs`)."""

    rules: TokenRules
    temperature: float
    packed: bool

    def tokens(self, ranking: EncodedRanking) -> int:
        """The tokens of a ranking in a pass."""
        return len(ranking) if self.packed else sum(map(len, ranking.distinct))


def ranked_logprobs(
    model: PreTrainedModel, rankings: Sequence[EncodedRanking], reading: Reading
) -> list[Tensor]:
    """Log-probabilities (K,) in nats of each ranking's responses, from one pass."""
    states = (_branched if reading.packed else _separate)(model, rankings, reading.rules.pad)
    logprobs, _ = policy_logprobs(model, *states, reading.rules.allowed, reading.temperature)
    counts = [[len(row) - each.shared for row in each.distinct] for each in rankings]
    sums = [part.sum() for part in logprobs.split([tokens for each in counts for tokens in each])]
    parts = torch.stack(sums).split([len(each) for each in counts])
    return [part[each.places] for part, each in zip(parts, rankings, strict=True)]


def _separate(model: PreTrainedModel, rankings: Sequence[EncodedRanking], pad: int) -> tuple[Tensor, Tensor]:
    """States (N, H) before the tokens (N,) of all distinct responses, each in a row with its prompt."""
    rows = [row for each in rankings for row in each.distinct]
    starts = [each.shared for each in rankings for _ in each.distinct]
    ids, mask, positions, targets = response_positions(rows, starts, pad)
    return hidden_states(model.base_model, ids, mask)[positions], targets


def _branched(model: PreTrainedModel, rankings: Sequence[EncodedRanking], pad: int) -> tuple[Tensor, Tensor]:
    """The same, with the responses to a prompt in one row in which they branch from it."""
    groups = [
        [each.rows[0][: each.shared], *(row[each.shared :] for row in each.distinct)] for each in rankings
    ]
    ids, positions, segments = pack(groups, pad)
    width, before = ids.shape[1], list[int]()
    for place, group in enumerate(groups):
        ends = list(accumulate(map(len, group)))
        for start, end in pairwise(ends):
            # the first token follows the prompt's last one, wherever its branch stands in the row
            before += [place * width + each for each in (ends[0] - 1, *range(start, end - 1))]
    states = branched_states(model.base_model, ids, positions, packed_attention(segments)).flatten(0, 1)
    targets = [token for group in groups for response in group[1:] for token in response]
    return states[torch.tensor(before, device=states.device)], torch.tensor(targets)


@torch.no_grad()
def measured_logprobs(
    model: PreTrainedModel, rankings: Sequence[EncodedRanking], reading: Reading, name: str
) -> list[Tensor]:
    """Log-probabilities (K,) of each ranking's responses, without gradients; `name` is what is counted."""
    model.eval()
    batches = by_length([reading.tokens(each) for each in rankings])

    def of_batch(batch: list[int]) -> list[Tensor]:
        return ranked_logprobs(model, [rankings[each] for each in batch], reading)

    found = counted(name, in_parallel(of_batch, batches), len(batches))
    places = [place for batch in batches for place in batch]
    by_place = dict(zip(places, (part for parts in found for part in parts), strict=True))
    return [by_place[place] for place in range(len(rankings))]
