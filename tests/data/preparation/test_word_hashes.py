"""Words do not depend on case, width or punctuation; scripts without spaces have words too."""

import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from alignloop.data.preparation.word_hashes import (
    AT_ONCE,
    Hashes,
    ngram_hashes,
    prefix_hashes,
    word_hashes,
    words,
)


def test_case_width_punctuation_and_white_space_make_no_difference():
    assert words("Hello,\n  WORLD!") == words("hello world") == ["hello", "world"]
    assert words("Ｈｅｌｌｏ　ｗｏｒｌｄ") == ["hello", "world"]
    assert words("Straße") == words("STRASSE")
    assert words("café") == words("cafe\u0301")


def test_scripts_without_spaces_are_split_by_character_with_combining_marks():
    assert words("我住在北京，OK？") == ["我", "住", "在", "北", "京", "ok"]
    assert words("東京タワー") == ["東", "京", "タ", "ワ", "ー"]
    assert words("น้ำ กิน") == ["น้ํ", "า", "กิ", "น"]  # NFKC writes ำ as two
    assert words("한국어 नमस्ते שלום") == ["한국어", "नमस्ते", "שלום"]
    assert words("?! …") == []


def of(text: str, length: int) -> list[int]:
    return ngram_hashes(word_hashes([text]), length).values.tolist()


def test_an_ngram_depends_on_its_words_and_their_order():
    said = of("one two three one two", 2)
    assert len(said) == 4
    assert said[0] == said[3]
    assert of("one two", 2)[0] != of("two one", 2)[0]
    assert of("one two three one two", 6) == []
    assert of("我住在北京", 3) == of("「我住，在北京。", 3)


@settings(deadline=None)
@given(st.lists(st.text("ab我 ", max_size=12), max_size=5), st.integers(1, 4))
def test_equal_ngrams_have_equal_hashes_and_different_ones_do_not(texts: list[str], length: int):
    said = [words(text) for text in texts]
    told = {tuple(text[n : n + length]) for text in said for n in range(len(text) - length + 1)}
    found = ngram_hashes(word_hashes(texts), length)
    assert len(set(found.values.tolist())) == len(told)
    assert found.lengths().tolist() == [max(0, len(text) - length + 1) for text in said]


def test_texts_are_hashed_independently_of_how_they_are_batched():
    texts = ["one two", "", "…", "two", "three " * (AT_ONCE // 4), "four", "one two three"]
    rows, alone = word_hashes(texts), [word_hashes([text]).values.tolist() for text in texts]
    assert [rows.row(number).tolist() for number in range(len(texts))] == alone
    assert ngram_hashes(rows, 2).lengths().tolist() == [1, 0, 0, 0, AT_ONCE // 4 - 1, 0, 2]
    first = prefix_hashes(rows, rows.lengths() // 2)
    assert [first[0], first[6]] == [
        prefix_hashes(word_hashes(["one"]), word_hashes(["one"]).lengths())[0]
    ] * 2
    assert word_hashes([]).values.tolist() == []


def test_no_two_of_many_words_share_a_hash():
    made = [f"{first}{number}" for first in ("a", "b", "word", "слово") for number in range(20_000)]
    values: Hashes = word_hashes([" ".join(made)]).values
    assert len(set(values.tolist())) == len(made)


def test_hashes_are_the_same_in_every_process():
    code = """
from alignloop.data.preparation.word_hashes import word_hashes
print(word_hashes(["one 我"]).values.tolist())
"""
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed == f"{word_hashes(['one 我']).values.tolist()}\n"
