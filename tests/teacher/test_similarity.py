"""ROUGE-L by hand-worked numbers, and against the definition."""

from hypothesis import given
from hypothesis import strategies as st

from alignloop.teacher.similarity import Instructions, rouge_l

TEXTS = st.lists(st.sampled_from("abc"), max_size=12)


def test_rouge_l_is_the_f_measure_of_the_longest_common_subsequence() -> None:
    # police kill the gunman / police killed the gunman: "police the gunman", 3 of 4 and of 4 words
    assert rouge_l(["police", "kill", "the", "gunman"], ["police", "killed", "the", "gunman"]) == 0.75
    assert rouge_l(["police", "kill", "the", "gunman"], ["the", "gunman", "kill", "police"]) == 0.5
    assert rouge_l(["a"], ["a", "b", "c"]) == 0.5
    assert rouge_l([], ["a"]) == 0.0


@given(TEXTS, TEXTS)
def test_it_agrees_with_the_table_of_common_subsequences(one: list[str], other: list[str]) -> None:
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    expected = 2 * table[-1][-1] / (len(one) + len(other)) if one and other else 0.0
    assert rouge_l(one, other) == expected


def test_an_instruction_is_added_up_to_the_bound_and_not_beyond_it() -> None:
    known = Instructions(["Police kill the gunman."], 0.75)
    assert known.add("police killed the gunman")  # 0.75
    assert not known.add("Police kill the gunman!")  # 1
    assert not known.add("police killed the old gunman")  # 8/9 with the one that was added
    assert known.add("Who is the gunman?")
