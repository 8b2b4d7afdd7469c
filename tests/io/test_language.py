"""Languages are told offline, and where a text does not tell, that is said."""

import pytest

from alignloop.io.language import language_of

SAID = {
    "en": "What is the tallest mountain of the world, and who climbed it first?",
    "de": "Was ist der höchste Berg der Welt, und wer hat ihn zuerst bestiegen?",
    "fr": "Quelle est la plus haute montagne du monde, et qui l'a gravie en premier ?",
    "es": "¿Cuál es la montaña más alta del mundo y quién la escaló primero?",
    "zh": "世界上最高的山是什么？谁第一个登上去的？",
    "ja": "世界で一番高い山は何ですか。最初に登ったのは誰ですか。",
    "th": "ภูเขาที่สูงที่สุดในโลกคืออะไร ใครปีนเป็นคนแรก",
    "ar": "ما هو أعلى جبل في العالم ومن تسلقه أولا؟",
    "hi": "दुनिया का सबसे ऊँचा पहाड़ कौन सा है और उस पर सबसे पहले कौन चढ़ा?",
    "ru": "Какая самая высокая гора в мире и кто первым на неё поднялся?",
}


@pytest.mark.parametrize("language", SAID)
def test_a_question_is_told_by_its_language(language: str):
    assert language_of(SAID[language]) == language
    assert language_of(SAID[language] * 1000) == language


@pytest.mark.parametrize("text", ["", "?", "48", "ok"])
def test_what_tells_no_language_has_none(text: str):
    assert language_of(text) in ("und", "zxx")
