"""A common 13-gram with an evaluation text is an overlap, unless it is a common phrase."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np

from alignloop.data.preparation.ngram_overlap import (
    COMMON,
    contaminated_records,
    find_overlaps,
    record_ngrams,
    write_ngram_index,
)

EVALUATION = "the quick brown fox jumps over the lazy dog while nobody in the garden looks at it twice"


def contaminated(
    evaluation: list[str],
    training: list[str],
    prompt_numbers: Sequence[int],
    length: int = 13,
    at_once: int = 1000,
) -> list[bool]:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "measured.npy"
        write_ngram_index([record_ngrams([evaluation], length).values], file)
        pairs = [
            (records + start, ngram_hashes)
            for start in range(0, max(1, len(training)), at_once)
            for records, ngram_hashes in [
                find_overlaps(
                    record_ngrams([[text] for text in training[start : start + at_once]], length), file
                )
            ]
        ]
        records, ngram_hashes = (np.concatenate(each) for each in zip(*pairs, strict=True))
        return contaminated_records(records, ngram_hashes, np.array(prompt_numbers, np.int64)).tolist()


def contaminated_by(training: list[str], evaluation: str = EVALUATION, length: int = 13) -> list[bool]:
    return contaminated([evaluation], training, range(len(training)), length)


def test_thirteen_common_words_in_a_row_are_an_overlap_and_twelve_are_not():
    said = EVALUATION.split()
    assert contaminated_by(
        [" ".join(["so", *said[2:15], "so"]), " ".join(["so", *said[2:14], "so"]), "THE QUICK, brown"]
    ) == [True, False, False]
    assert contaminated_by([EVALUATION.upper().replace(" ", ",  ")]) == [True]


def test_characters_count_as_words_where_a_script_has_no_spaces():
    assert contaminated_by(
        ["据说敏捷的棕色狐狸跳过了懒狗的背", "敏捷的棕色狐狸跳过了懒猫"], "敏捷的棕色狐狸跳过了懒狗的背。"
    ) == [True, False]


def test_ngrams_do_not_reach_from_one_turn_into_the_next():
    assert contaminated(["one two", "three four"], ["one two three four"], [0], 4) == [False]


def test_an_ngram_of_more_than_ten_prompts_is_a_common_phrase():
    assert contaminated_by([f"{EVALUATION} {n}" for n in range(COMMON)]) == [True] * COMMON
    assert not any(contaminated_by([f"{EVALUATION} {n}" for n in range(COMMON + 1)]))
    assert all(contaminated([EVALUATION], [EVALUATION] * 3 * COMMON, [7] * 3 * COMMON)), (
        "a prompt with many responses counts once"
    )


def test_overlaps_are_found_over_many_batches():
    random, training = Random(1), []
    for number in range(9000):
        words = [f"w{random.randrange(10**6)}" for _ in range(20)]
        training.append(" ".join(words[:3] + EVALUATION.split()[:13] if number % 3000 == 17 else words))
    assert [number for number, shares in enumerate(contaminated_by(training)) if shares] == [17, 3017, 6017]
    assert contaminated_by([]) == []
    assert contaminated_by(["a b"], "") == [False]
