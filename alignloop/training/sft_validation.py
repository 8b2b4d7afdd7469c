"""How SFT is doing on validation users: the loss on their demonstrations, and what an earlier reward model says of its own answers."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alignloop.core.checkpoint_folder import load_tokenizer
from alignloop.core.generate import sample
from alignloop.core.lm_training import mean_loss
from alignloop.core.models import context_of, token_rules
from alignloop.core.reward import score
from alignloop.core.reward_model import RewardModel
from alignloop.core.tokens import decode, encode_prompt, encode_response, pad_of
from alignloop.errors import AlignloopError
from alignloop.params import Params
from alignloop.records import Demonstration
from alignloop.seeds import seed_of
from alignloop.training.encoding import demonstration_rows, spoken


class NothingToCheck(AlignloopError):
    """A reward model shall choose the checkpoint, and there is no validation prompt to answer."""


def checker(
    params: Params,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    demonstrations: Sequence[Demonstration],
) -> Callable[[], dict[str, float]]:
    """What measures the model as it is now: `valid_loss`, and `valid_score` where a reward model is given; nothing if there is nothing."""
    rows, _ = demonstration_rows(tokenizer, demonstrations, params.sft.assistant_turns, context_of(model))
    answers = (
        _answers(params, model, tokenizer, demonstrations, params.sft.reward_model)
        if params.sft.reward_model
        else dict
    )

    def check() -> dict[str, float]:
        return ({"valid_loss": mean_loss(model, rows, pad_of(tokenizer))} if rows else {}) | answers()

    return check


def _answers(
    params: Params,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    demonstrations: Sequence[Demonstration],
    judge: str,
) -> Callable[[], dict[str, float]]:
    """The mean score of an answer to each prompt, from the same random numbers at every check; the judge has a tokenizer of its own."""
    reward_model, its_tokenizer, its_context = (
        RewardModel.load(Path(judge)),
        load_tokenizer(judge),
        context_of(judge),
    )
    limit = params.decoding.max_new_tokens
    asked = [spoken(demonstration.messages[:-1]) for demonstration in demonstrations]
    prompts = [
        (encode_prompt(tokenizer, messages), encode_prompt(its_tokenizer, messages)) for messages in asked
    ]
    prompts = [(ours, theirs) for ours, theirs in prompts if len(ours) + limit <= context_of(model)][
        : params.sft.check_prompts
    ]
    if not prompts:
        raise NothingToCheck(
            "sft.reward_model: no validation demonstration has a prompt that fits; raise prepare.valid, or set it to null"
        )
    rules = token_rules(tokenizer, model)

    def answer() -> dict[str, float]:
        draws = torch.Generator().manual_seed(seed_of(params.seed, "sft", "check"))
        plan = params.decoding
        drawn = sample(
            model,
            [ours for ours, _ in prompts],
            rules,
            temperature=plan.temperature,
            max_new_tokens=limit,
            generator=draws,
            batch=plan.batch,
        )
        read = [encode_response(its_tokenizer, decode(tokenizer, ids)) for ids in drawn.ids]
        rows = [(theirs + ids)[:its_context] for (_, theirs), ids in zip(prompts, read, strict=True)]
        return {"valid_score": float(score(reward_model, rows, pad_of(its_tokenizer)).mean())}

    return answer
