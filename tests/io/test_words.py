"""Words are the same however they are typed, and texts without spaces have words too."""

import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from alignloop.io.words import flattened, hashed, runs, words


def test_case_width_punctuation_and_white_space_make_no_difference():
    assert words("Hello,\n  WORLD!") == words("hello world") == ["hello", "world"]
    assert words("Ｈｅｌｌｏ　ｗｏｒｌｄ") == ["hello", "world"]
    assert words("Straße") == words("STRASSE")
    assert words("café") == words("cafe\u0301")


def test_scripts_without_spaces_go_sign_by_sign_with_the_marks_on_them_and_others_by_word():
    assert words("我住在北京，OK？") == ["我", "住", "在", "北", "京", "ok"]
    assert words("東京タワー") == ["東", "京", "タ", "ワ", "ー"]
    assert words("น้ำ กิน") == ["น้ํ", "า", "กิ", "น"]  # NFKC writes ำ as two
    assert words("한국어 नमस्ते שלום") == ["한국어", "नमस्ते", "שלום"]
    assert words("?! …") == []


def test_a_run_is_told_by_its_words_and_their_order():
    said = hashed("one two three one two")
    assert len(runs(said, 2)) == 4
    assert runs(said, 2)[0] == runs(said, 2)[3]
    assert runs(hashed("one two"), 2)[0] != runs(hashed("two one"), 2)[0]
    assert len(runs(said, 6)) == 0
    assert runs(hashed("我住在北京"), 3).tolist() == runs(hashed("「我住，在北京。"), 3).tolist()


@given(st.lists(st.text("ab我 ", max_size=12), max_size=5), st.integers(1, 4))
def test_equal_runs_have_equal_hashes_and_different_ones_do_not(texts: list[str], length: int):
    said = [words(text) for text in texts]
    told = {tuple(text[n : n + length]) for text in said for n in range(len(text) - length + 1)}
    assert len({int(value) for text in texts for value in runs(hashed(text), length)}) == len(told)


def test_rows_end_to_end_keep_their_bounds():
    values, offsets = flattened([np.array([1, 2], np.uint64), np.zeros(0, np.uint64), np.array([3], np.uint64)])
    assert (values.tolist(), offsets.tolist()) == ([1, 2, 3], [0, 2, 2, 3])


def test_hashes_are_the_same_in_every_process():
    code = "from alignloop.io.words import hashed; print(hashed('one 我').tolist())"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == f"{hashed('one 我').tolist()}\n"
    )
