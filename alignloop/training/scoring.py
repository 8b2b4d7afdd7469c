"""The reward model as PPO and evaluation use it: prompt and answer ids in, scores out."""

from collections.abc import Sequence

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from alignloop.core.experience import Score
from alignloop.core.models import context_of
from alignloop.core.reward import score as score_rows
from alignloop.core.reward_model import RewardModel
from alignloop.core.tokens import decode, encode_response, pad_of


def scorer(model: RewardModel, tokenizer: PreTrainedTokenizerBase) -> Score:
    """The reward model as a score: it reads an answer's text in its usual tokens, so that no odd spelling in tokens earns anything.

    What it reads may be longer than what was drawn, by the end token of an answer that never ended at least: it is cut to its context.
    """
    context = context_of(model.trunk)

    def score(prompts: Sequence[list[int]], responses: Sequence[list[int]]) -> Tensor:
        read = (encode_response(tokenizer, decode(tokenizer, answer)) for answer in responses)
        rows = [(prompt + answer)[:context] for prompt, answer in zip(prompts, read, strict=True)]
        return score_rows(model, rows, pad_of(tokenizer))

    return score
