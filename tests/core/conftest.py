"""Fixtures of the core's tests: one tiny real tokenizer and policy; a test that trains takes a copy
(`learner`).
"""

import copy

import pytest
import torch
import transformers
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel, PreTrainedTokenizerFast

from alignloop.core.models import allowed_tokens, new_policy
from alignloop.core.reward_model import RewardModel
from alignloop.core.tokens import TokenRules, encode_prompt, end_of, pad_of, train_tokenizer
from tests.core.bandit import Run

SENTENCES = [
    "The moon is made of rock, and the sea is full of salt.",
    "Who painted the door? Ada painted the door green in the spring.",
    "I do not know that; nobody has told me who built the old mill.",
    "Please answer in one word: is the fox faster than the snail? Yes.",
]


@pytest.fixture(scope="session", autouse=True)
def _quiet_and_single_threaded() -> None:
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


@pytest.fixture(scope="session")
def sentences() -> list[str]:
    return SENTENCES


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """320 tokens: five special ones, 256 bytes, 59 merges."""
    return train_tokenizer(SENTENCES * 3, 320)


@pytest.fixture(scope="session")
def policy(tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """Two layers of width 32, not to be changed; weights times 8, so that logits differ by whole nats and
    errors show.
    """
    model = new_policy(tokenizer, layers=2, width=32, heads=4, context=64, seed=0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(8 if weight.dim() > 1 else 1)
    return model.eval()


@pytest.fixture(scope="session")
def gpt2() -> PreTrainedModel:
    """A policy with absolute positions and dropout, which Llamas do not have; not to be changed."""
    torch.manual_seed(0)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=320, n_embd=32, n_layer=1, n_head=2, n_positions=64, resid_pdrop=0.5, embd_pdrop=0.5
        )
    )
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(8 if weight.dim() > 1 else 1)
    return model.eval()


@pytest.fixture
def learner(policy: PreTrainedModel) -> PreTrainedModel:
    """A copy of the policy that a test may train."""
    return copy.deepcopy(policy)


@pytest.fixture
def judge(policy: PreTrainedModel) -> RewardModel:
    """A reward model on the policy's trunk that a test may train."""
    return RewardModel.from_policy(policy, seed=1)


@pytest.fixture(scope="session")
def allowed(tokenizer: PreTrainedTokenizerFast) -> Tensor:
    """The tokens that a response may contain."""
    return allowed_tokens(tokenizer, len(tokenizer))


@pytest.fixture(scope="session")
def letters(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """The tokens of four letters."""
    return [tokenizer.encode(letter)[0] for letter in "abcd"]


@pytest.fixture(scope="session")
def few(tokenizer: PreTrainedTokenizerFast, letters: list[int], end: int) -> Tensor:
    """Four letters and the end token only, so that some responses end early and others late in one batch."""
    chosen = torch.zeros(len(tokenizer), dtype=torch.bool)
    chosen[[*letters, end]] = True
    return chosen


@pytest.fixture(scope="session")
def prompts(tokenizer: PreTrainedTokenizerFast) -> list[list[int]]:
    """Eight prompts of eight lengths."""
    return [
        encode_prompt(tokenizer, [{"role": "user", "content": SENTENCES[n % 4][: 3 + 4 * n]}])
        for n in range(8)
    ]


@pytest.fixture(scope="session")
def pad(tokenizer: PreTrainedTokenizerFast) -> int:
    return pad_of(tokenizer)


@pytest.fixture(scope="session")
def end(tokenizer: PreTrainedTokenizerFast) -> int:
    return end_of(tokenizer)


@pytest.fixture(scope="session")
def rules(allowed: Tensor, end: int, pad: int) -> TokenRules:
    return TokenRules(allowed, end, pad)


@pytest.fixture(scope="session")
def few_rules(few: Tensor, end: int, pad: int) -> TokenRules:
    return TokenRules(few, end, pad)


@pytest.fixture
def run(policy: PreTrainedModel, prompts: list[list[int]], few_rules: TokenRules, letters: list[int]) -> Run:
    return Run(policy, prompts, few_rules, letters)


@pytest.fixture
def other(
    policy: PreTrainedModel, prompts: list[list[int]], few_rules: TokenRules, letters: list[int]
) -> Run:
    """A second run with the same start, which a test may configure differently."""
    return Run(policy, prompts, few_rules, letters)
