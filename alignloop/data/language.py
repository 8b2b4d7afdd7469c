"""Which language a text is in, by py3langid's naive Bayes model of byte n-grams: 4 MB that come with the package, no network.

The library reads text after text, byte by byte; here many go through its automaton side by side, which gives the same answers.
"""

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SURE = 0.5  # below this probability a text's language is undetermined: most are of a word or two, or no language at all
READ = 400  # characters: more tell no more
AT_ONCE = 4096


class Model(NamedTuple):
    """py3langid's automaton over bytes (`moves[rows[state] + byte]` is the next state, `tells` its feature or −1), and its weights."""

    moves: NDArray[Any]
    rows: NDArray[np.int64]
    tells: NDArray[np.int64]
    weights: NDArray[np.float32]
    prior: NDArray[np.float32]
    names: NDArray[np.str_]


def languages_of(texts: Sequence[str]) -> list[str]:
    """Each text's language as an ISO 639-1 code; `und` where it cannot be told, `zxx` where it is none."""
    return [
        name
        for start in range(0, len(texts), AT_ONCE)
        for name in _languages([_bytes(text) for text in texts[start : start + AT_ONCE]])
    ]


def _languages(read: Sequence[bytes]) -> list[str]:
    from scipy.sparse import csr_array

    model, lengths = _model(), np.array(list(map(len, read)))
    features = len(model.weights)
    order = np.argsort(
        -lengths, kind="stable"
    )  # the longest first: those that go on are always the first ones
    letters = (
        np.frombuffer(b"".join(text.ljust(lengths.max(initial=0), b"\0") for text in read), np.uint8)
        .reshape(len(read), -1)[order]
        .T
    )
    state, met = np.zeros(len(read), np.int64), [np.zeros(0, np.int64)]
    for letter, going in zip(
        letters, np.searchsorted(-lengths[order], -np.arange(len(letters))), strict=True
    ):
        state[:going] = model.moves[model.rows[state[:going]] + letter[:going]]
        told = model.tells[state[:going]]
        telling = np.flatnonzero(told >= 0)
        met.append(telling * features + told[telling])
    found, counts = np.unique(np.concatenate(met), return_counts=True)
    seen = csr_array(
        (np.log1p(counts, dtype=np.float32), (order[found // features], found % features)),
        shape=(len(read), features),
    )
    scores = (seen @ model.weights + model.prior * (seen.sum(axis=1) > 0)[:, None]) / np.sqrt(
        np.maximum(lengths, 1)
    )[:, None]
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    scores /= scores.sum(axis=1, keepdims=True)
    names, same = np.unique(model.names, return_inverse=True)  # some have two columns
    sums = scores @ (same[:, None] == np.arange(len(names)))
    best = sums.argmax(axis=1)
    return np.where(sums.max(axis=1) < SURE, "und", names[best]).tolist()


def _bytes(text: str) -> bytes:
    """A text as the model was taught to read it."""
    text = text[:READ]
    return unicodedata.normalize("NFC", text.lower() if text.isupper() else text).encode(
        errors="surrogatepass"
    )


@cache
def _model() -> Model:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    own: Any = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    rows, tells = (np.asarray(each, np.int64) for each in (own.tk_row, own.tk_output))
    weights, prior = (np.asarray(each, np.float32) for each in (own.nb_ptc, own.nb_pc))
    return Model(np.asarray(own.tk_nextmove), rows << 8, tells, weights, prior, np.asarray(own.nb_classes))
