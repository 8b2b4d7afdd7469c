"""Languages are detected offline; undetermined ones are marked as such."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from alignloop.data.language import READ, SURE, languages_of

SENTENCES = {
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


@pytest.mark.parametrize("language", SENTENCES)
def test_the_language_of_a_sentence_is_detected(language: str):
    assert languages_of([SENTENCES[language], SENTENCES[language] * 1000]) == [language] * 2


@pytest.mark.parametrize("text", ["", "?", "48", "ok"])
def test_texts_without_a_clear_language_are_undetermined(text: str):
    assert languages_of([text])[0] in ("und", "zxx")


IDENTIFIER = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True, min_confidence=SURE)
PARTS = st.sampled_from([*SENTENCES.values(), *" ?!ABCdefß\x00\ud800我", "HELLO", "ok "])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(PARTS.flatmap(lambda part: st.just(part[: len(part) // 2 or 1])), max_size=5).map("".join),
        max_size=12,
    )
)
def test_many_texts_at_once_get_the_languages_that_the_library_gives_each(texts: list[str]):
    def near(text: str) -> bool:
        return abs(IDENTIFIER.classify(text[:READ])[1] - SURE) < 1e-4  # sums in another order

    alone = [IDENTIFIER.classify(text[:READ])[0] for text in texts]
    assert all(
        one == other or near(text) for one, other, text in zip(languages_of(texts), alone, texts, strict=True)
    )
