"""Language detection by py3langid's naive Bayes model of byte n-grams, which needs no network.

The library runs its automaton over one text at a time, byte by byte; here many texts go through it at
once, with the same results. The model, 4 MB, comes with the package.
"""

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SURE = 0.5  # a less probable language is undetermined: mostly texts of a word or two, or of no language
READ = 400  # characters: more do not improve the detection
AT_ONCE = 4096


class Model(NamedTuple):
    """py3langid's automaton over bytes and its weights.

    `moves[rows[state] + byte]` is the next state; `features[state]` is the feature of a state, or −1.
    """

    moves: NDArray[Any]
    rows: NDArray[np.int64]
    features: NDArray[np.int64]
    weights: NDArray[np.float32]
    prior: NDArray[np.float32]
    names: NDArray[np.str_]


def languages_of(texts: Sequence[str]) -> list[str]:
    """The language of each text as an ISO 639-1 code; `und` if undetermined, `zxx` if it is not language."""
    return [
        name
        for start in range(0, len(texts), AT_ONCE)
        for name in _languages([_bytes(text) for text in texts[start : start + AT_ONCE]])
    ]


def _languages(texts: Sequence[bytes]) -> list[str]:
    from scipy.sparse import csr_array

    model = _model()
    lengths = np.array(list(map(len, texts)))
    count = len(model.weights)
    # 1. Bytes as columns, the longest text first: the texts that have not ended are always the first ones.
    order = np.argsort(-lengths, kind="stable")
    padded = b"".join(text.ljust(lengths.max(initial=0), b"\0") for text in texts)
    columns = np.frombuffer(padded, np.uint8).reshape(len(texts), -1)[order].T
    # 2. Run the automaton, and collect the features that it meets as text · count + feature.
    state = np.zeros(len(texts), np.int64)
    collected = [np.zeros(0, np.int64)]
    running = np.searchsorted(-lengths[order], -np.arange(len(columns)))
    for column, going in zip(columns, running, strict=True):
        state[:going] = model.moves[model.rows[state[:going]] + column[:going]]
        features = model.features[state[:going]]
        met = np.flatnonzero(features >= 0)
        collected.append(met * count + features[met])
    # 3. Score the languages by naive Bayes, and normalise to probabilities.
    pairs, counts = np.unique(np.concatenate(collected), return_counts=True)
    frequencies = csr_array(
        (np.log1p(counts, dtype=np.float32), (order[pairs // count], pairs % count)),
        shape=(len(texts), count),
    )
    prior = model.prior * (frequencies.sum(axis=1) > 0)[:, None]
    scores = (frequencies @ model.weights + prior) / np.sqrt(np.maximum(lengths, 1))[:, None]
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    scores /= scores.sum(axis=1, keepdims=True)
    # 4. Add up the columns of one language (some have two), and choose the most probable.
    names, columns_of = np.unique(model.names, return_inverse=True)
    sums = scores @ (columns_of[:, None] == np.arange(len(names)))
    best = sums.argmax(axis=1)
    return np.where(sums.max(axis=1) < SURE, "und", names[best]).tolist()


def _bytes(text: str) -> bytes:
    """A text as the model was trained to read it."""
    text = text[:READ]
    text = unicodedata.normalize("NFC", text.lower() if text.isupper() else text)
    return text.encode(errors="surrogatepass")


@cache
def _model() -> Model:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    library: Any = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    rows, features = (np.asarray(each, np.int64) for each in (library.tk_row, library.tk_output))
    weights, prior = (np.asarray(each, np.float32) for each in (library.nb_ptc, library.nb_pc))
    names = np.asarray(library.nb_classes)
    return Model(
        moves=np.asarray(library.tk_nextmove),
        rows=rows << 8,
        features=features,
        weights=weights,
        prior=prior,
        names=names,
    )
