"""The draw of a token: by hand-worked numbers."""

import pytest
import torch

from alignloop.serving.sampling import draw_tokens

PROBABILITIES = torch.tensor([0.2, 0.5, 0.3, 0.9])  # the last token is not allowed
ALLOWED = torch.tensor([True, True, True, False])


def draw(temperature: float, top_p: float, uniform: float) -> int:
    rows = draw_tokens(
        PROBABILITIES.log()[None],
        ALLOWED,
        torch.tensor([temperature]),
        torch.tensor([top_p]),
        torch.tensor([uniform], dtype=torch.float64),
    )
    return int(rows[0])


@pytest.mark.parametrize(
    ("temperature", "top_p", "uniform", "token"),
    [
        (1.0, 1.0, 0.19, 0),  # cumulative: 0.2, 0.7, 1
        (1.0, 1.0, 0.21, 1),
        (1.0, 1.0, 0.71, 2),
        (1.0, 0.6, 0.0, 1),  # tokens 1 and 2 reach 0.6 together: 5/8 and 3/8
        (1.0, 0.6, 0.62, 1),
        (1.0, 0.6, 0.63, 2),
        (1.0, 0.49, 0.99, 1),
        (1.0, 0.0, 0.99, 1),
        (0.0, 1.0, 0.99, 1),
        (0.5, 1.0, 0.10, 0),  # squares: 4, 25, 9 of 38
        (0.5, 1.0, 0.11, 1),
        (0.5, 1.0, 0.77, 2),
    ],
)
def test_a_token_is_the_place_of_the_uniform_number(
    temperature: float, top_p: float, uniform: float, token: int
) -> None:
    assert draw(temperature, top_p, uniform) == token


def test_each_row_has_its_own_temperature_and_top_p() -> None:
    rows = draw_tokens(
        PROBABILITIES.log().repeat(3, 1),
        ALLOWED,
        torch.tensor([0.0, 1.0, 1.0]),
        torch.tensor([1.0, 0.6, 1.0]),
        torch.tensor([0.1, 0.99, 0.1], dtype=torch.float64),
    )
    assert rows.tolist() == [1, 2, 0]
