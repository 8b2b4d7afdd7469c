"""One tiny real tokenizer and policy for every test of the core; a test that trains takes a copy (`learner`)."""

import copy

import pytest
import torch
import transformers
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel, PreTrainedTokenizerFast

from alignloop.core.models import RewardModel, allowed_tokens, new_policy
from alignloop.core.tokens import encode_prompt, end_of, pad_of, train_tokenizer
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
    """Two layers of width 32, weights times 8 so that logits spread by whole nats and a mistake in any shows; not to be changed."""
    model = new_policy(tokenizer, layers=2, width=32, heads=4, context=64, seed=0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(8 if weight.dim() > 1 else 1)
    return model.eval()


@pytest.fixture(scope="session")
def gpt2() -> PreTrainedModel:
    """A policy with absolute positions and dropout, which Llamas lack; not to be changed."""
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
    """What an answer may hold."""
    return allowed_tokens(tokenizer, len(tokenizer))


@pytest.fixture(scope="session")
def letters(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """The tokens of four letters."""
    return [tokenizer.encode(letter)[0] for letter in "abcd"]


@pytest.fixture(scope="session")
def few(tokenizer: PreTrainedTokenizerFast, letters: list[int], end: int) -> Tensor:
    """An answer of four letters and the end only: some answers then end early and others late, all in one batch."""
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


@pytest.fixture
def run(policy: PreTrainedModel, prompts: list[list[int]], few: Tensor, letters: list[int]) -> Run:
    return Run(policy, prompts, few, letters)


@pytest.fixture
def other(policy: PreTrainedModel, prompts: list[list[int]], few: Tensor, letters: list[int]) -> Run:
    """A second run that a test may bend otherwise."""
    return Run(policy, prompts, few, letters)
