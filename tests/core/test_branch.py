"""K responses that branch from one prompt in a packed row have the scores of K separate rows."""

import random

import pytest
import torch
from transformers import AutoModel, GPT2Config, LlamaConfig, PreTrainedConfig, Qwen2Config

from alignloop.core.encoded_ranking import EncodedRanking
from alignloop.core.reward_model import RewardModel
from alignloop.core.reward_scoring import branch, ranked_scores, scores_of

VOCABULARY = 50
FAMILIES: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
    ),
    "gpt2": GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=128,
        bos_token_id=None,
        eos_token_id=1,
    ),
    "qwen2": Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
    ),
}


def rankings(count: int) -> list[EncodedRanking]:
    draw = random.Random(count)
    ranked = []
    for _ in range(count):
        prompt = [draw.randrange(5, VOCABULARY) for _ in range(draw.randrange(1, 20))]
        responses = [
            [draw.randrange(5, VOCABULARY) for _ in range(draw.randrange(1, 12))]
            for _ in range(draw.randrange(2, 7))
        ]
        ranked.append(
            EncodedRanking(
                [prompt + response for response in responses],
                list(range(1, len(responses) + 1)),
                len(prompt),
            )
        )
    return ranked


@pytest.mark.parametrize("family", FAMILIES)
def test_a_packed_row_has_the_scores_of_separate_rows(family: str) -> None:
    torch.manual_seed(0)
    model = RewardModel(AutoModel.from_config(FAMILIES[family]), 32).eval()
    ranked = rankings(12)
    with torch.no_grad():
        together = torch.cat(list(ranked_scores(model, ranked, 0)))
        apart = scores_of(model, [row for ranking in ranked for row in ranking.rows], 0)
    assert torch.allclose(together, apart, atol=1e-5)
    assert apart.std() > 1e-2  # else the comparison would be trivial


def test_a_response_attends_to_the_prompt_and_itself_but_to_no_other_response() -> None:
    ids, positions, attention, ends = branch([EncodedRanking([[7, 8, 10, 11], [7, 8, 20]], [1, 2], 2)], pad=0)
    assert ids.tolist() == [[7, 8, 10, 11, 20]]
    assert positions.tolist() == [[0, 1, 2, 3, 2]]
    assert ends.tolist() == [[False, False, False, True, True]]
    assert attention.int().tolist() == [
        [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 0, 0, 1]]
    ]


def test_the_length_of_a_ranking_counts_its_prompt_once() -> None:
    assert len(EncodedRanking([[7, 8, 10, 11], [7, 8, 20]], [1, 2], 2)) == 5


def test_equal_responses_are_computed_once_and_count_each_time() -> None:
    ranking = EncodedRanking([[7, 8, 10, 11], [7, 8, 20], [7, 8, 10, 11]], [1, 2, 1], 2)
    assert len(ranking) == 5
    assert branch([ranking], pad=0)[0].tolist() == [[7, 8, 10, 11, 20]]
    torch.manual_seed(0)
    model = RewardModel(AutoModel.from_config(FAMILIES["llama"]), 32).eval()
    (scores,) = ranked_scores(model, [ranking], 0)
    apart = scores_of(model, ranking.rows, 0)
    assert torch.allclose(scores, apart, atol=1e-5)
    weights = [*model.parameters()]
    for mine, theirs in zip(
        *(
            torch.autograd.grad((part * torch.tensor([1.0, -3.0, 2.0])).sum(), weights)
            for part in (scores, apart)
        ),
        strict=True,
    ):
        assert torch.allclose(mine, theirs, atol=1e-5)
