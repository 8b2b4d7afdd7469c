"""Which prompts to label next, by numbers worked by hand."""

from math import log

import pytest
import torch

from alignloop.core.label_choice import disagreement, most_wanted


def test_without_a_second_model_the_closest_responses_are_least_decided() -> None:
    scores = torch.tensor([[0.0, 0.0], [log(3), 0.0], [0.0, 50.0], [0.0, log(3)]])
    # chances ½, ¾, 0 and ¼
    torch.testing.assert_close(disagreement(scores), torch.tensor([1.0, 0.5, 0.0, 0.5]).double())


def test_with_one_it_is_how_much_the_chances_of_all_pairs_differ() -> None:
    scores = torch.tensor([[log(3), 0.0, 0.0], [1.0, 2.0, 3.0]])
    others = torch.tensor([[0.0, 0.0, log(3)], [11.0, 12.0, 13.0]])
    # chances of the pairs 12, 13, 23: ¾, ¾, ½ against ½, ¼, ¼; a shift of all scores is none
    torch.testing.assert_close(disagreement(scores, others), torch.tensor([1 / 3, 0.0]).double())


def test_the_undecided_and_the_failed_come_first_and_keep_their_order() -> None:
    scores = torch.tensor(
        [
            [9.0, 1.0],  # decided, good
            [-5.0, -5.0],  # undecided, bad
            [0.5, -0.5],  # in between
            [-9.0, 1.0],  # the most decided, bad
        ]
    )
    # ranks by disagreement 1, 3, 2, 0, by failure 0, 3, 1, 2: together 1, 6, 3, 2
    assert most_wanted(scores, None, 1) == [1]
    assert most_wanted(scores, None, 2) == [1, 2]
    assert most_wanted(scores, None, 3) == [1, 2, 3]
    assert most_wanted(scores, None, 9) == [0, 1, 2, 3]


@pytest.mark.parametrize("count", [1, 2])
def test_of_equally_wanted_prompts_the_first_are_taken(count: int) -> None:
    assert most_wanted(torch.zeros(4, 3), torch.zeros(4, 3), count) == list(range(count))
