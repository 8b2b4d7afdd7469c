"""The sentence on a review's votes: who is preferred, or how many votes it takes to tell."""

import pytest

from alignloop.labeling.reviews import Tally
from alignloop.release.preference import preference_sentence

NEEDED = (
    "To find a difference of 10 points (such as 55 to 45 of 100) in four reviews of five takes about 780 "
    "votes, each on a prompt of its own."
)


def tally(votes: int, outcomes: list[float], identical: int = 0) -> Tally:
    return Tally(votes, wanted=votes, reviewers=1, outcomes=outcomes, identical=identical)


@pytest.mark.parametrize(
    ("votes", "sentence"),
    [
        (tally(0, []), f"No reviewer has voted yet: nothing is known of what people prefer. {NEEDED}"),
        (
            tally(8, [1.0] * 4 + [0.0] * 4),
            "Reviewers could not tell them apart: 8 votes on 8 prompts; the candidate is preferred on 4, "
            f"the champion on 4, neither on 0. {NEEDED}",
        ),
        (
            tally(1, [1.0]),
            "Too few votes to tell them apart, whatever they say: 1 vote on 1 prompt; the candidate is "
            f"preferred on 1, the champion on 0, neither on 0. {NEEDED}",
        ),
        (
            tally(18, [1.0] * 8 + [0.0]),
            "Reviewers prefer the candidate: 18 votes on 9 prompts; the candidate is preferred on 8, the "
            "champion on 1, neither on 0. Chance alone gives so one-sided a result in 4 of 100 reviews.",
        ),
        (
            tally(12, [0.0] * 12),
            "Reviewers prefer the champion: 12 votes on 12 prompts; the candidate is preferred on 0, the "
            "champion on 12, neither on 0. Chance alone gives so one-sided a result in fewer than 1 of 100 "
            "reviews.",
        ),
        (
            tally(6, [1.0] * 6 + [0.5] * 3, identical=3),
            "Reviewers prefer the candidate: 6 votes on 6 prompts; the candidate is preferred on 6, the "
            "champion on 0, neither on 3 (identical responses on 3 of these, which nobody has to compare). "
            "Chance alone gives so one-sided a result in 3 of 100 reviews.",
        ),
    ],
)
def test_the_sentence_says_what_the_votes_can_tell(votes: Tally, sentence: str):
    assert preference_sentence(votes, "the champion") == sentence
