"""What is measured is not learned: thirteen words in a row are an overlap, and a phrase that everybody uses is none."""

from random import Random

from alignloop.io.contamination import COMMON, Measured

MEASURED = "the quick brown fox jumps over the lazy dog while nobody in the garden looks at it twice"


def overlaps(learned: list[str], measured: str = MEASURED, length: int = 13) -> list[bool]:
    found = Measured(length)
    found.measure([measured])
    for number, text in enumerate(learned):
        found.learn([text], number)
    return found.overlapping().tolist()


def test_so_many_words_in_a_row_are_an_overlap_and_one_fewer_are_not():
    said = MEASURED.split()
    assert overlaps([" ".join(["so", *said[2:15], "so"]), " ".join(["so", *said[2:14], "so"]), "THE QUICK, brown"]) == [True, False, False]
    assert overlaps([MEASURED.upper().replace(" ", ",  ")]) == [True]


def test_signs_count_where_a_script_has_no_spaces():
    assert overlaps(["据说敏捷的棕色狐狸跳过了懒狗的背", "敏捷的棕色狐狸跳过了懒猫"], "敏捷的棕色狐狸跳过了懒狗的背。") == [True, False]


def test_runs_do_not_reach_from_one_turn_into_the_next():
    found = Measured(4)
    found.measure(["one two", "three four"])
    found.learn(["one two three four"], 0)
    assert found.overlapping().tolist() == [False]


def test_what_more_than_ten_questions_have_in_common_is_a_phrase():
    assert overlaps([f"{MEASURED} {n}" for n in range(COMMON)]) == [True] * COMMON
    assert not any(overlaps([f"{MEASURED} {n}" for n in range(COMMON + 1)]))
    found = Measured(13)
    found.measure([MEASURED])
    for _ in range(3 * COMMON):
        found.learn([MEASURED], 7)
    assert all(found.overlapping()), "one question that was answered often is one"


def test_many_records_are_told_apart_over_all_batches():
    random, learned = Random(1), []
    for number in range(9000):
        words = [f"w{random.randrange(10**6)}" for _ in range(20)]
        learned.append(" ".join(words[:3] + MEASURED.split()[:13] if number % 3000 == 17 else words))
    assert [number for number, found in enumerate(overlaps(learned)) if found] == [17, 3017, 6017]
    assert overlaps([]) == []
    assert overlaps(["a b"], "") == [False]
