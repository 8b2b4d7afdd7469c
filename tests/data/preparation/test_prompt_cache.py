"""With the prompt cache, only new prompts are sketched and new texts detected, with the same results."""

from pathlib import Path

import numpy as np
import pytest

from alignloop.data.language import languages_of
from alignloop.data.preparation import cleaning, prompt_cache
from alignloop.data.preparation.filtering import PromptIndex
from alignloop.data.preparation.prompt_cache import CacheEntries
from alignloop.data.preparation.record_features import FeatureOptions, extract_features
from alignloop.data.record_files import pieces, write
from alignloop.records import Prompt, Ranking
from tests.stages.sets import TEST, TRAIN, prompt, ranking

TEXTS = [
    "Wie wird das Wetter morgen in den Bergen, und was soll ich dafür einpacken?",
    "Please tell me how the weather will be tomorrow in the mountains.",
    "Quel temps fera-t-il demain à la montagne, et que dois-je emporter ?",
    "Where does the river end, and who has ever seen the place with their own eyes?",
]
OPTIONS = FeatureOptions(
    kind=Prompt,
    languages=True,
    max_characters=1000,
    valid=0.1,
    test=0.2,
    near=True,
    beginning=5,
    whole=False,
)


def test_cached_prompts_and_languages_are_reused_and_the_results_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    prompt_records = [prompt(f"p{number}", TRAIN[number], text) for number, text in enumerate(TEXTS[:3])]
    ranking_records = [
        ranking(f"r{number}", user, text, "a", "b")
        for number, (user, text) in enumerate(zip(TEST, TEXTS[::-1], strict=False))
    ]
    write(tmp_path / "prompts.jsonl", prompt_records)
    write(tmp_path / "rankings.jsonl", [*ranking_records, *ranking_records[:1]])
    [first], [second] = (
        pieces(tmp_path / f"{kind.__name__.lower()}s.jsonl", kind) for kind in (Prompt, Ranking)
    )
    prompts = extract_features(OPTIONS, first)
    options = OPTIONS._replace(kind=Ranking, whole=True)
    without_cache = extract_features(options, second)
    assert len(prompts.text_languages[0]) == len(prompts.prompts) == 3
    prompt_cache.write(
        [CacheEntries(np.array(prompts.prompts, np.uint64), *prompts.text_languages)], tmp_path / "cache"
    )
    detected: list[str] = []
    monkeypatch.setattr(cleaning, "languages_of", lambda texts: detected.extend(texts) or languages_of(texts))
    with_cache = extract_features(options._replace(cache=tmp_path / "cache"), second)

    assert detected == [TEXTS[3], TEXTS[3]]
    assert with_cache.sketched.tolist() == [0, 4], "the others are cached, whichever user wrote them"
    assert (with_cache.lines, with_cache.tally, with_cache.prompts) == (
        without_cache.lines,
        without_cache.tally,
        without_cache.prompts,
    )
    assert [f"language {language}" in with_cache.tally for language in ("de", "en", "fr")] == [True] * 3
    both = []
    for rankings in (without_cache, with_cache):
        index = PromptIndex(0.7, 5)
        both.append(
            (index.add(prompts), index.add(rankings), index.strictest_splits(), index.near_duplicates)
        )
    assert both[0] == both[1]
    assert both[0][1] == [3, 2, 1, 0, 3]


def test_the_cache_has_no_languages_where_they_are_not_wanted(tmp_path: Path):
    write(tmp_path / "prompts.jsonl", [prompt("p", TRAIN[0], TEXTS[0])])
    [piece] = pieces(tmp_path / "prompts.jsonl", Prompt)
    features = extract_features(OPTIONS._replace(languages=False, beginning=None), piece)
    entries = CacheEntries(np.array(features.prompts, np.uint64), *features.text_languages)
    assert list(map(len, entries)) == [1, 0, 0]
    prompt_cache.write([entries], tmp_path / "cache")
    cache = prompt_cache.read(tmp_path / "cache")
    assert cache.languages_of([7, 2**64 - 1]) == ["", ""]
    assert cache.unknown([2**64 - 1, *entries.prompts.tolist(), 0]).tolist() == [0, 2]
