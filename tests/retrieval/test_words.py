"""How texts are cut into passages, and what is found in scripts without spaces and in any composition."""

import unicodedata
from pathlib import Path

import pytest

from alignloop.retrieval.documents import Document
from alignloop.retrieval.index import build, opened
from alignloop.retrieval.words import CHARACTERS, passages_of, searchable, terms


def test_passages_are_cut_between_paragraphs_where_that_is_possible():
    text = "one two\nthree\n\nfour five\n\nsix seven eight nine ten eleven"
    assert list(passages_of(text, 5)) == ["one two three four five", "six seven eight nine ten", "eleven"]
    assert list(passages_of(text, 4)) == ["one two three", "four five", "six seven eight nine", "ten eleven"]
    assert not list(passages_of("\n \n"))


def test_no_passage_has_more_characters_than_the_bound_and_none_is_lost():
    text = "水车建于一八二〇年。它的轮子是橡木做的。" * 3000
    found = list(passages_of(text))
    assert max(map(len, found)) <= CHARACTERS
    assert "".join(found) == text
    assert all(each.endswith("。") for each in found), "cut at the ends of sentences"
    assert list(passages_of("a bcdefg hij", 9, 4)) == ["a", "bcde", "fg", "hij"]


def test_runs_without_spaces_are_pairs_and_each_character_begins_one():
    assert searchable("A mill, 水车建 of 1820").split() == ["A", "mill,", "水车", "车建", "建", "of", "1820"]
    assert terms("水车建 mill") == ['"水车"', '"车建"', '"mill"']
    assert terms("GPT模型x") == ['"gpt"', '"模型"', '"x"']
    assert terms("水") == ['"水" *']
    assert searchable("Übung, हिन्दी") == "Übung, हिन्दी"


TEXTS = {
    "zh": "水车建于一八二〇年。它的轮子是橡木做的。",
    "ja": "ガラスの工場はカーブの先にあります。",
    "ko": "한국어 문서입니다.",
    "th": "โรงสีนี้สร้างขึ้นในปีนั้น",
    "hi": "यह चक्की हिन्दी में है",
    "fr": "A naïve café in Zürich.",
}
QUERIES = {
    "zh": ["水车", "轮子", "轮", "年", "水车建于"],
    "ja": ["ガラス", "工場", "カーブ"],
    "ko": ["문서", "한국어"],
    "th": ["โรงสี", "สร้าง"],
    "hi": ["हिन्दी"],
    "fr": ["naïve", "cafe", "ZÜRICH"],
}


@pytest.mark.parametrize("language", TEXTS)
def test_words_are_found_in_every_script_composed_or_not(language: str, tmp_path: Path):
    out = tmp_path / "search.sqlite"
    for form in ("NFC", "NFD"):
        texts = [unicodedata.normalize(form, text) for text in TEXTS.values()]
        build(out, [Document(name, "T", text, "MIT") for name, text in zip(TEXTS, texts, strict=True)])
        with opened(out) as index:
            for query in QUERIES[language]:
                for asked in (query, unicodedata.normalize("NFD", query)):
                    found = [passage.document for passage in index.search(asked, 3)]
                    assert found == [language], (form, asked)
            assert not index.search("橡车", 3)
