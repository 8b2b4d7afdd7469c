"""Near-duplicates are found in any script, other texts are not, and the time is linear."""

import time
from itertools import pairwise
from random import Random

import pytest

from alignloop.data.preparation.near_duplicates import SLOTS, NearDuplicates, band_width, sketch_texts


def groups(
    *texts: str, near: float | None = 0.8, beginning: int | None = None, before: str = ""
) -> list[int]:
    collected = NearDuplicates(near)
    for start in range(0, len(texts), 700):  # piece by piece
        piece = texts[start : start + 700]
        collected.add(sketch_texts(piece, [before] * len(piece), near=near is not None, beginning=beginning))
    return collected.groups().tolist()


def text(count: int, seed: int, signs: bool = False) -> list[str]:
    random = Random(seed)
    return [
        chr(0x4E00 + random.randrange(5000)) if signs else f"w{random.randrange(5000)}" for _ in range(count)
    ]


def changed(words: list[str], *places: int) -> list[str]:
    return [f"new{n}" if n in places else word for n, word in enumerate(words)]


@pytest.mark.parametrize("signs", [False, True])
def test_changing_one_word_of_200_leaves_a_near_duplicate_and_every_third_word_does_not(signs: bool):
    joint, words = ("" if signs else " "), text(200, 1, signs)
    assert groups(
        *map(joint.join, (words, text(200, 2, signs), changed(words, 100), changed(words, *range(0, 200, 3))))
    ) == [0, 1, 0, 3]


def test_the_threshold_is_the_share_of_common_ngrams():
    # a word changed amid N changes 5 of N − 4 n-grams: N = 49 leaves 40 of 50 in all, a similarity of 0.8
    words, bounds = text(49, 3), {0.65: 0, 0.95: 1}
    assert {
        near: groups(" ".join(words), " ".join(changed(words, 20)), near=near)[1] for near in bounds
    } == bounds


def test_case_and_punctuation_make_no_difference_and_short_texts_must_have_equal_words():
    assert groups("Why is that so?", "why is THAT so", "Why is this so?", "?!", "…", "?!") == [
        0,
        0,
        2,
        3,
        4,
        3,
    ]


def test_similarity_is_transitive_through_texts_between():
    words = text(100, 4)
    chain = [" ".join(changed(words, *range(0, 4 * step, 4))) for step in range(6)]
    assert groups(*chain, near=0.85) == [0] * 6
    assert groups(chain[0], chain[-1], near=0.85) == [0, 1]


def test_a_common_beginning_makes_near_duplicates_and_earlier_turns_are_no_beginning():
    words = text(30, 5)
    first, second, third = (" ".join([*words[:20], *text(20, seed)]) for seed in (6, 7, 8))
    assert groups(first, second, " ".join(words[:19]), near=None, beginning=20) == [0, 0, 2]
    assert groups(first, second, beginning=21) == [0, 1]
    assert groups(first, second, third) == [0, 1, 2]
    assert groups("And why?", "And how?", near=None, beginning=20, before=" ".join(words)) == [0, 1], (
        "one conversation, continued in two ways"
    )
    assert groups(
        "".join(text(30, 9, True)),
        "".join([*text(30, 9, True)[:20], *text(9, 10, True)]),
        near=None,
        beginning=20,
    ) == [0, 0]


def test_pairs_at_the_threshold_share_a_bucket_with_a_probability_of_99_percent():
    for threshold in (0.3, 0.5, 0.7, 0.8, 0.9, 0.95):
        width = band_width(threshold)
        assert SLOTS % width == 0
        assert 1 - (1 - threshold**width) ** (SLOTS // width) >= 0.99


def test_nearly_all_of_many_pairs_are_found_and_no_others():
    pairs = [(words, changed(words, 60)) for words in (text(120, seed) for seed in range(400))]
    found = groups(
        *(" ".join(each) for pair in pairs for each in pair), near=0.85
    )  # 111 of 121 n-grams in common: 0.92
    assert sum(found[2 * n + 1] == 2 * n for n in range(400)) >= 396
    assert all(found[2 * n] == 2 * n for n in range(400))


def test_twice_the_texts_take_about_twice_the_time():
    words = [" ".join(text(30, seed)) for seed in range(2000)]

    def seconds(count: int) -> float:
        began = time.process_time()
        groups(*words[:count])
        return time.process_time() - began

    seconds(100)
    times = [seconds(count) for count in (500, 1000, 2000)]
    assert all(more < 4 * less for less, more in pairwise(times)), times
