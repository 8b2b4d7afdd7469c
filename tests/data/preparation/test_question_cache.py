"""What the sets before have told of questions is taken as it is, the rest found out: less work, and the same comes of it."""

from pathlib import Path

import numpy as np
import pytest

from alignloop.data.language import languages_of
from alignloop.data.preparation import cleaning, question_cache
from alignloop.data.preparation.filtering import Questions
from alignloop.data.preparation.question_cache import Told
from alignloop.data.preparation.record_features import Reading, gather
from alignloop.data.record_files import pieces, write
from alignloop.records import Prompt, Ranking
from tests.stages.sets import TEST, TRAIN, prompt, ranking

SAID = [
    "Wie wird das Wetter morgen in den Bergen, und was soll ich dafür einpacken?",
    "Please tell me how the weather will be tomorrow in the mountains.",
    "Quel temps fera-t-il demain à la montagne, et que dois-je emporter ?",
    "Where does the river end, and who has ever seen the place with their own eyes?",
]


def test_what_is_known_of_questions_is_taken_and_the_rest_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked = [prompt(f"p{number}", TRAIN[number], said) for number, said in enumerate(SAID[:3])]
    ranked = [
        ranking(f"r{number}", user, said, "a", "b")
        for number, (user, said) in enumerate(zip(TEST, SAID[::-1], strict=False))
    ]
    write(tmp_path / "prompts.jsonl", asked)
    write(tmp_path / "rankings.jsonl", [*ranked, *ranked[:1]])
    [first], [second] = (
        pieces(tmp_path / f"{kind.__name__.lower()}s.jsonl", kind) for kind in (Prompt, Ranking)
    )
    prompts = gather(Reading(Prompt, True, 1000, 0.1, 0.2, True, 5, False), first)
    reading = Reading(Ranking, True, 1000, 0.1, 0.2, True, 5, True)
    alone = gather(reading, second)
    assert len(prompts.spoken[0]) == len(prompts.questions) == 3
    question_cache.write([Told(np.array(prompts.questions, np.uint64), *prompts.spoken)], tmp_path / "known")
    looked_at: list[str] = []
    monkeypatch.setattr(
        cleaning, "languages_of", lambda texts: looked_at.extend(texts) or languages_of(texts)
    )
    informed = gather(reading._replace(known=tmp_path / "known"), second)

    assert looked_at == [SAID[3], SAID[3]]
    assert informed.places.tolist() == [0, 4], "the others are the prompts' questions, whoever asks them"
    assert (informed.lines, informed.tally, informed.questions) == (alone.lines, alone.tally, alone.questions)
    assert [f"language {language}" in informed.tally for language in ("de", "en", "fr")] == [True] * 3
    both = []
    for rankings in (alone, informed):
        questions = Questions(0.7, 5)
        both.append(
            (questions.add(prompts), questions.add(rankings), questions.cleanest(), questions.likeness)
        )
    assert both[0] == both[1]
    assert both[0][1] == [3, 2, 1, 0, 3]


def test_nothing_is_known_before_the_first_set_and_where_languages_are_not_wanted(tmp_path: Path):
    write(tmp_path / "prompts.jsonl", [prompt("p", TRAIN[0], SAID[0])])
    [piece] = pieces(tmp_path / "prompts.jsonl", Prompt)
    facts = gather(Reading(Prompt, False, 1000, 0.1, 0.2, True, None, False), piece)
    told = Told(np.array(facts.questions, np.uint64), *facts.spoken)
    assert list(map(len, told)) == [1, 0, 0]
    question_cache.write([told], tmp_path / "known")
    found = question_cache.read(tmp_path / "known")
    assert found.languages_of([7, 2**64 - 1]) == ["", ""]
    assert found.unknown([2**64 - 1, *told.questions.tolist(), 0]).tolist() == [0, 2]
