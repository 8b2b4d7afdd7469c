"""The reward model as PPO and evaluation use it: token ids of prompts and responses in, scores out."""

from collections.abc import Sequence

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from alignloop.core import devices
from alignloop.core.experience import Score
from alignloop.core.models import context_of
from alignloop.core.reward_model import RewardModel
from alignloop.core.reward_scoring import score as score_rows
from alignloop.core.tokens import decode, encode_response, pad_of


def scorer(model: RewardModel, tokenizer: PreTrainedTokenizerBase) -> Score:
    """The reward model as a score function.

    It reads a response's text in its canonical tokens, so that an unusual tokenization of a text earns
    nothing. This may be longer than what was drawn (an unfinished response gets an end token), so it is cut
    to the context.
    """
    context = context_of(devices.shard(model).trunk)

    def score(prompts: Sequence[list[int]], responses: Sequence[list[int]]) -> Tensor:
        read = (encode_response(tokenizer, decode(tokenizer, ids)) for ids in responses)
        rows = [(prompt + ids)[:context] for prompt, ids in zip(prompts, read, strict=True)]
        return score_rows(model, rows, pad_of(tokenizer))

    return score
