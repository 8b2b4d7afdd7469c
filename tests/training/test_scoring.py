"""The reward model as a score: it reads a response's text, and no more of it than its context holds."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from alignloop.core.reward_model import RewardModel
from alignloop.core.reward_scoring import score as score_rows
from alignloop.core.tokens import encode_prompt, encode_response, end_of, pad_of, train_tokenizer
from alignloop.training.scoring import scorer
from tests.conftest import TEXTS


@pytest.fixture(scope="module")
def judge() -> RewardModel:
    """A family that has no place beyond its context."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=340, n_embd=16, n_layer=1, n_head=2, n_positions=96, bos_token_id=None, eos_token_id=1
    )
    return RewardModel.from_policy(GPT2LMHeadModel(config).eval(), 0)


def test_an_answer_is_scored_by_its_text_however_it_was_spelled_in_tokens(judge: RewardModel):
    tokenizer = train_tokenizer(TEXTS * 3, 300)
    prompt = encode_prompt(tokenizer, [{"role": "user", "content": "Is it?"}])
    usual = encode_response(tokenizer, "the sea")
    spelled = [
        *(tokenizer.encode(letter)[0] for letter in "the"),
        *tokenizer.encode(" sea"),
        end_of(tokenizer),
    ]
    assert spelled != usual
    one = scorer(judge, tokenizer)([prompt] * 2, [usual, spelled])
    assert one[0] == one[1]
    torch.testing.assert_close(one[:1], score_rows(judge, [prompt + usual], pad_of(tokenizer)))


def test_an_answer_without_an_end_that_fills_the_context_is_read_as_far_as_it_goes(judge: RewardModel):
    tokenizer = train_tokenizer(TEXTS * 3, 300)
    prompt = encode_prompt(tokenizer, [{"role": "user", "content": "q" * 85}])
    [letter] = tokenizer.encode("x")
    answer = [letter] * (96 - len(prompt))
    assert len(answer) > 1
    [scored] = scorer(judge, tokenizer)([prompt], [answer])
    assert scored == score_rows(judge, [prompt + answer], pad_of(tokenizer))[0], "there is no room for an end"
