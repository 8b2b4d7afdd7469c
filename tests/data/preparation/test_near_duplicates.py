"""What says nearly the same is found, in any script; what does not is left alone; and it takes time by the number of texts."""

import time
from itertools import pairwise
from random import Random

import pytest

from alignloop.data.preparation.near_duplicates import SLOTS, Alike, band_of, sketches


def groups(
    *texts: str, near: float | None = 0.8, beginning: int | None = None, before: str = ""
) -> list[int]:
    alike = Alike(near)
    for start in range(0, len(texts), 700):  # as it comes, piece by piece
        piece = texts[start : start + 700]
        alike.add(sketches(piece, [before] * len(piece), near=near is not None, beginning=beginning))
    return alike.groups().tolist()


def text(count: int, seed: int, signs: bool = False) -> list[str]:
    random = Random(seed)
    return [
        chr(0x4E00 + random.randrange(5000)) if signs else f"w{random.randrange(5000)}" for _ in range(count)
    ]


def changed(said: list[str], *places: int) -> list[str]:
    return [f"new{n}" if n in places else word for n, word in enumerate(said)]


@pytest.mark.parametrize("signs", [False, True])
def test_one_word_of_two_hundred_makes_no_other_text_and_every_third_word_does(signs: bool):
    joint, said = ("" if signs else " "), text(200, 1, signs)
    assert groups(
        *map(joint.join, (said, text(200, 2, signs), changed(said, 100), changed(said, *range(0, 200, 3))))
    ) == [0, 1, 0, 3]


def test_the_threshold_is_the_share_of_runs_in_common():
    # a word changed in the middle of N words changes 5 of N − 4 runs: N = 49 leaves 40 of 50 in all, a likeness of 0.8
    said, bounds = text(49, 3), {0.65: 0, 0.95: 1}
    assert {
        near: groups(" ".join(said), " ".join(changed(said, 20)), near=near)[1] for near in bounds
    } == bounds


def test_typing_is_no_difference_and_short_texts_are_alike_only_in_all_their_words():
    assert groups("Why is that so?", "why is THAT so", "Why is this so?", "?!", "…", "?!") == [
        0,
        0,
        2,
        3,
        4,
        3,
    ]


def test_likeness_goes_on_through_texts_between():
    said = text(100, 4)
    chain = [" ".join(changed(said, *range(0, 4 * step, 4))) for step in range(6)]
    assert groups(*chain, near=0.85) == [0] * 6
    assert groups(chain[0], chain[-1], near=0.85) == [0, 1]


def test_a_long_common_beginning_is_enough_where_it_is_looked_for_and_what_was_said_before_is_none():
    said = text(30, 5)
    first, second, third = (" ".join([*said[:20], *text(20, seed)]) for seed in (6, 7, 8))
    assert groups(first, second, " ".join(said[:19]), near=None, beginning=20) == [0, 0, 2]
    assert groups(first, second, beginning=21) == [0, 1]
    assert groups(first, second, third) == [0, 1, 2]
    assert groups("And why?", "And how?", near=None, beginning=20, before=" ".join(said)) == [0, 1], (
        "a conversation goes on in two ways"
    )
    assert groups(
        "".join(text(30, 9, True)),
        "".join([*text(30, 9, True)[:20], *text(9, 10, True)]),
        near=None,
        beginning=20,
    ) == [0, 0]


def test_pairs_at_the_threshold_meet_in_a_band_with_a_chance_of_99_percent():
    for threshold in (0.3, 0.5, 0.7, 0.8, 0.9, 0.95):
        width = band_of(threshold)
        assert SLOTS % width == 0
        assert 1 - (1 - threshold**width) ** (SLOTS // width) >= 0.99


def test_of_many_pairs_nearly_all_are_found_and_no_stranger_is():
    pairs = [(said, changed(said, 60)) for said in (text(120, seed) for seed in range(400))]
    found = groups(
        *(" ".join(each) for pair in pairs for each in pair), near=0.85
    )  # 111 of 121 runs in common: 0.92
    assert sum(found[2 * n + 1] == 2 * n for n in range(400)) >= 396
    assert all(found[2 * n] == 2 * n for n in range(400))


def test_twice_the_texts_take_no_more_than_about_twice_the_time():
    said = [" ".join(text(30, seed)) for seed in range(2000)]

    def seconds(count: int) -> float:
        began = time.process_time()
        groups(*said[:count])
        return time.process_time() - began

    seconds(100)
    times = [seconds(count) for count in (500, 1000, 2000)]
    assert all(more < 4 * less for less, more in pairwise(times)), times
