"""A bag-of-words baseline of reward models: logistic regression on differences of word counts.

What a reward model knows beyond which words a response has is what it gets right beyond this. The score of a
response is the sum of its words' weights; the chance that one is preferred is σ of the difference of scores,
as a reward model's, so both are fitted to the same likelihood.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alignloop.core.ranking_pairs import pairs_of
from alignloop.data.preparation.word_hashes import words
from alignloop.errors import AlignloopError
from alignloop.records import Ranking

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # inverse strengths of the L2 penalty that are tried
TRIED_ON = 10  # of so many users one, whose pairs choose the strength
RESPONSES_WITH = 2  # responses that a word must be in
ITERATIONS = 1000


class WordBaselineError(AlignloopError):
    """There is nothing to fit the baseline on."""


@dataclass(frozen=True)
class WordBaseline:
    """The fitted weights of words; `strength` is scikit-learn's C, `pairs` how many it was fitted on."""

    counter: Any  # of scikit-learn: texts -> sparse counts (N, words)
    weights: np.ndarray
    pairs: int
    strength: float

    def scores(self, responses: Sequence[str]) -> Tensor:
        """The score of each response (N,)."""
        return torch.from_numpy(self.counter.transform(responses) @ self.weights)


def fit_word_baseline(rankings: Sequence[Ranking]) -> WordBaseline:
    """Fit the baseline on all ordered pairs of rankings. Raises WordBaselineError where there are too few.

    The penalty's strength is the one with the best likelihood on the pairs of every tenth user, who is left
    out meanwhile; then all pairs are fitted.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    users = {user: place for place, user in enumerate(dict.fromkeys(each.prompt.user for each in rankings))}
    texts: list[str] = []
    better: list[int] = []
    worse: list[int] = []
    tried: list[bool] = []
    for ranking in rankings:
        firsts, seconds = pairs_of(ranking.ranks)
        better += [len(texts) + place for place in firsts]
        worse += [len(texts) + place for place in seconds]
        tried += [users[ranking.prompt.user] % TRIED_ON == TRIED_ON - 1] * len(firsts)
        texts += ranking.responses
    held = np.array(tried, dtype=bool)
    if not held.any() or held.all():
        raise WordBaselineError(
            f"the bag of words: {len(better):,} ordered pairs of {len(users):,} users are too few to fit on; "
            f"pairs of {TRIED_ON} users at least are needed"
        )
    counting: Any = CountVectorizer  # annotated with the types of its defaults
    counter = counting(analyzer=words, min_df=RESPONSES_WITH, dtype=np.float64)
    try:
        counts = counter.fit_transform(texts)
    except ValueError:  # an empty vocabulary
        raise WordBaselineError("the bag of words: no word is in two of the responses to fit on") from None
    gaps: Any = counts[better] - counts[worse]
    errors = [_loss(gaps[held] @ _weights(gaps[~held], strength)) for strength in STRENGTHS]
    strength = STRENGTHS[int(np.argmin(errors))]
    return WordBaseline(counter, _weights(gaps, strength), len(better), strength)


def _weights(gaps: Any, strength: float) -> np.ndarray:
    """The weights (words,) that maximise the likelihood of pairs whose better response is named first.

    Without an intercept a pair counts the same either way round, so every second one is turned: scikit-learn
    wants both classes.
    """
    from scipy.sparse import diags_array
    from sklearn.linear_model import LogisticRegression

    signs = np.where(np.arange(gaps.shape[0]) % 2, -1.0, 1.0)
    if len(signs) < 2:
        raise WordBaselineError("the bag of words: one ordered pair is too few to fit on")
    model = LogisticRegression(C=strength, fit_intercept=False, max_iter=ITERATIONS)
    model.fit(diags_array(signs) @ gaps, signs > 0)
    if model.n_iter_[0] >= ITERATIONS:
        raise WordBaselineError(f"the bag of words: no fit after {ITERATIONS:,} iterations at C = {strength}")
    return model.coef_[0]


def _loss(margins: np.ndarray) -> float:
    """The mean of −log σ of the score differences."""
    return float(np.logaddexp(0.0, -margins).mean())
