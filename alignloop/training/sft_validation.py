"""Validation during SFT: the loss on validation demonstrations, and the score of the model's responses."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alignloop.core.checkpoint_folder import load_tokenizer
from alignloop.core.generate import sample
from alignloop.core.lm_training import mean_loss
from alignloop.core.models import context_of, token_rules
from alignloop.core.reward_model import RewardModel
from alignloop.core.reward_scoring import score
from alignloop.core.tokens import Encoded, decode, encode_prompt, encode_response, pad_of
from alignloop.errors import AlignloopError
from alignloop.params.sample import Decoding
from alignloop.params.sft import Sft
from alignloop.records import Demonstration
from alignloop.seeds import seed_of
from alignloop.training.encoding import chat


class NoValidationPrompt(AlignloopError):
    """A reward model is to select the checkpoint, and there is no validation prompt to respond to."""


def validator(
    seed: int,
    plan: Sft,
    decoding: Decoding,
    *,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    demonstrations: Sequence[Demonstration],
    rows: Sequence[Encoded],
) -> Callable[[], dict[str, float]]:
    """A function that measures the model as it is now. `rows` are the demonstrations that fit, encoded.

    It returns `valid_loss` where there are validation demonstrations, and `valid_score` where
    `sft.reward_model` names a reward model.
    """
    scored = None
    if plan.reward_model:
        scored = _scorer(
            seed,
            plan,
            decoding,
            model=model,
            tokenizer=tokenizer,
            demonstrations=demonstrations,
            judge=plan.reward_model,
        )

    def validate() -> dict[str, float]:
        numbers = {"valid_loss": mean_loss(model, rows, pad_of(tokenizer))} if rows else {}
        return numbers | (scored() if scored else {})

    return validate


def _scorer(
    seed: int,
    plan: Sft,
    decoding: Decoding,
    *,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    demonstrations: Sequence[Demonstration],
    judge: str,
) -> Callable[[], dict[str, float]]:
    """The mean score of one response to each prompt, from the same random numbers at every validation.

    The reward model `judge` reads the text with its own tokenizer.
    """
    reward_model, its_tokenizer = RewardModel.load(Path(judge)), load_tokenizer(judge)
    its_context, limit = context_of(judge), decoding.max_new_tokens
    prompts: list[tuple[list[int], list[int]]] = []
    for demonstration in demonstrations:
        messages = chat(demonstration.messages[:-1])
        ours = encode_prompt(tokenizer, messages)
        if len(ours) + limit <= context_of(model):
            prompts.append((ours, encode_prompt(its_tokenizer, messages)))
    prompts = prompts[: plan.validation_prompts]
    if not prompts:
        raise NoValidationPrompt(
            "sft.reward_model: no validation demonstration has a prompt that fits; "
            "raise prepare.valid_share, or set it to null"
        )
    rules = token_rules(tokenizer, model)

    def respond_and_score() -> dict[str, float]:
        drawn = sample(
            model,
            [ours for ours, _ in prompts],
            rules,
            temperature=decoding.temperature,
            max_new_tokens=limit,
            generator=torch.Generator().manual_seed(seed_of(seed, "sft", "check")),
            batch=decoding.responses_per_batch,
        )
        read = [encode_response(its_tokenizer, decode(tokenizer, ids)) for ids in drawn.ids]
        rows = [(theirs + ids)[:its_context] for (_, theirs), ids in zip(prompts, read, strict=True)]
        return {"valid_score": float(score(reward_model, rows, pad_of(its_tokenizer)).mean())}

    return respond_and_score
