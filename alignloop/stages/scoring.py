"""The reward model as PPO and evaluation use it: prompt and answer ids in, scores out."""

from collections.abc import Sequence

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from alignloop.core.experience import Score
from alignloop.core.models import RewardModel
from alignloop.core.reward import score as score_rows
from alignloop.core.tokens import decode, encode_response, pad_of


def scorer(model: RewardModel, tokenizer: PreTrainedTokenizerBase) -> Score:
    """The reward model as a score: it reads an answer's text in its usual tokens, so that no odd spelling in tokens earns anything."""

    def score(prompts: Sequence[list[int]], responses: Sequence[list[int]]) -> Tensor:
        rows = [prompt + encode_response(tokenizer, decode(tokenizer, answer)) for prompt, answer in zip(prompts, responses, strict=True)]
        return score_rows(model, rows, pad_of(tokenizer))

    return score
