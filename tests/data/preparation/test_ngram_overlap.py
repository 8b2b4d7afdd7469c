"""What is measured is not learned: thirteen words in a row are an overlap, and a phrase that everybody uses is none."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np

from alignloop.data.preparation.ngram_overlap import COMMON, index, overlapping, shared, told

MEASURED = "the quick brown fox jumps over the lazy dog while nobody in the garden looks at it twice"


def found(
    measured: list[str], learned: list[str], about: Sequence[int], length: int = 13, at_once: int = 1000
) -> list[bool]:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "measured.npy"
        index([told([measured], length).values], file)
        pairs = [
            (records + start, runs)
            for start in range(0, max(1, len(learned)), at_once)
            for records, runs in [
                shared(told([[text] for text in learned[start : start + at_once]], length), file)
            ]
        ]
        records, runs = (np.concatenate(each) for each in zip(*pairs, strict=True))
        return overlapping(records, runs, np.array(about, np.int64)).tolist()


def overlaps(learned: list[str], measured: str = MEASURED, length: int = 13) -> list[bool]:
    return found([measured], learned, range(len(learned)), length)


def test_so_many_words_in_a_row_are_an_overlap_and_one_fewer_are_not():
    said = MEASURED.split()
    assert overlaps(
        [" ".join(["so", *said[2:15], "so"]), " ".join(["so", *said[2:14], "so"]), "THE QUICK, brown"]
    ) == [True, False, False]
    assert overlaps([MEASURED.upper().replace(" ", ",  ")]) == [True]


def test_signs_count_where_a_script_has_no_spaces():
    assert overlaps(
        ["据说敏捷的棕色狐狸跳过了懒狗的背", "敏捷的棕色狐狸跳过了懒猫"], "敏捷的棕色狐狸跳过了懒狗的背。"
    ) == [True, False]


def test_runs_do_not_reach_from_one_turn_into_the_next():
    assert found(["one two", "three four"], ["one two three four"], [0], 4) == [False]


def test_what_more_than_ten_questions_have_in_common_is_a_phrase():
    assert overlaps([f"{MEASURED} {n}" for n in range(COMMON)]) == [True] * COMMON
    assert not any(overlaps([f"{MEASURED} {n}" for n in range(COMMON + 1)]))
    assert all(found([MEASURED], [MEASURED] * 3 * COMMON, [7] * 3 * COMMON)), (
        "one question that was answered often is one"
    )


def test_many_records_are_told_apart_over_all_batches():
    random, learned = Random(1), []
    for number in range(9000):
        words = [f"w{random.randrange(10**6)}" for _ in range(20)]
        learned.append(" ".join(words[:3] + MEASURED.split()[:13] if number % 3000 == 17 else words))
    assert [number for number, shares in enumerate(overlaps(learned)) if shares] == [17, 3017, 6017]
    assert overlaps([]) == []
    assert overlaps(["a b"], "") == [False]
