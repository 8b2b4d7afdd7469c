"""What is nearly the same, or shares words with what is measured, goes where that is wanted; and no record
ever changes its split.
"""

from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignloop.data import record_files, workers
from alignloop.data.preparation import decontamination
from alignloop.data.preparation.record_features import split_of
from alignloop.data.record_files import files, read
from alignloop.records import Document, Prompt, Split
from tests.stages.sets import (
    SPLITS,
    TEST,
    TRAIN,
    VALID,
    Sets,
    demonstration,
    label,
    messages,
    prompt,
    ranking,
)


@pytest.fixture
def sets(tmp_path: Path) -> Sets:
    made = Sets(tmp_path)
    made.longest = 10_000
    return made


def long(seed: int, *changes: int, count: int = 60) -> str:
    """A text of so many words, some of them others."""
    random = Random(seed)
    said = [f"w{random.randrange(1000)}" for _ in range(count)]
    return " ".join("other" if place in changes else word for place, word in enumerate(said))


def test_what_is_nearly_the_same_counts_as_the_same_over_all_sets_where_that_is_wanted(sets: Sets):
    sets.prompts += [
        prompt("p1", TRAIN[0], long(1)),
        prompt("p2", TRAIN[1], long(1, 30)),
        prompt("p3", TRAIN[1], long(2)),
    ]
    sets.prompts += [prompt("p4", TEST[0], long(3, 30))]
    sets.demonstrations += [
        demonstration("d1", TRAIN[0], long(3), "I."),
        demonstration("d2", TRAIN[0], long(4), "I."),
    ]
    sets.demonstrations += [
        demonstration("d3", TRAIN[0], long(4, 30), "I."),
        demonstration("d4", TRAIN[0], long(4), long(5)),
    ]
    sets.rankings += [
        ranking("r1", TRAIN[0], long(6), "a", "b"),
        ranking("r2", TRAIN[1], long(6, 30), "a", "b"),
    ]
    sets.rankings += [ranking("r3", TRAIN[1], long(6, 30), "a", "b", labeler="labeler-2")]
    sets.documents += [
        Document(id="t1", text=long(7), source="s"),
        Document(id="t2", text=long(7, 30), source="s"),
    ]
    off = sets.run()
    assert (sets.ids("prompts", "train"), sets.ids("demonstrations", "train")) == (
        ["p1", "p2", "p3"],
        ["d1", "d2", "d3", "d4"],
    )
    assert not any(rule.startswith("nearly") for tally in off.values() for rule in tally)
    on = sets.run(near_duplicate_similarity=0.75)
    assert (sets.ids("prompts", "train"), sets.ids("demonstrations", "train")) == (["p1", "p3"], ["d2", "d4"])
    assert [each.id for each in sets.imported()] == ["r1", "r3"], (
        "another labeler's ranking is another ranking"
    )
    assert on["prompts"]["nearly repeated"] == 1
    assert (on["demonstrations"]["nearly in another split"], on["demonstrations"]["nearly repeated"]) == (
        1,
        1,
    )
    assert on["rankings"]["nearly repeated"] == 1
    assert on["corpus"]["nearly repeated"] + on["corpus"]["nearly in another split"] == 1
    assert on["corpus"]["train"] + on["corpus"]["valid"] == len(sets.documents) - 1


def test_prompts_with_a_long_common_beginning_are_one_and_what_follows_on_one_conversation_is_not(sets: Sets):
    sets.prompts += [
        prompt("p1", TRAIN[0], long(1) + " yes"),
        prompt("p2", TRAIN[1], long(1) + " no"),
        prompt("p3", TRAIN[1], long(1)[:80]),
    ]
    sets.prompts += [
        Prompt(id=f"p{n}", messages=messages(long(2), "Hm.", f"Why {n}?"), user=TRAIN[0], source="s")
        for n in (4, 5)
    ]
    sets.run(shared_prefix_words=60)
    assert sets.ids("prompts", "train") == ["p1", "p3", "p4", "p5"]


def test_what_shares_words_with_a_test_prompt_is_not_learned(sets: Sets):
    asked = "敏捷的棕色狐狸跳过了懒狗的背然后回家"
    sets.prompts += [
        prompt("t1", TEST[0], long(1, count=20)),
        prompt("t2", TEST[0], asked),
        prompt("p1", TRAIN[0], f"So: {long(1, 13, count=20)}"),
    ]
    sets.prompts += [
        prompt("p2", TRAIN[0], long(1, 12, count=20)),
        prompt("p3", VALID[0], f"问：{asked[:14]}"),
    ]
    sets.demonstrations += [
        demonstration("d1", TRAIN[0], "Say it.", long(1, count=20)),
        demonstration("d2", TRAIN[0], "Not.", "I."),
    ]
    sets.rankings += [
        ranking("r1", TRAIN[0], "Which?", "a", f"It is: {asked}"),
        ranking("r2", TEST[1], "Which one?", "a", long(1, count=20)),
    ]
    sets.documents += [Document(id="t1", text=long(1, count=20) + " and so on.", source="s")]
    sets.labels += [
        label("l1", TRAIN[0], "Which?", f"It is: {long(1, count=20)}", good=True),
        label("l2", TRAIN[0], "Which one?", "a", good=True),
    ]
    counts = sets.run(decontamination_ngram=13)
    assert [sets.ids("prompts", split) for split in SPLITS] == [["p2"], [], ["t1", "t2"]]
    assert sets.ids("demonstrations", "train") == ["d2"]
    assert [each.id for each in sets.imported()] == ["r2"], "what is measured itself stays"
    assert {name: tally["overlaps with evaluation data"] for name, tally in counts.items()} == {
        "prompts": 2,
        "demonstrations": 1,
        "rankings": 1,
        "labels": 1,
        "corpus": 1,
    }


def test_languages_are_tagged_and_counted_where_that_is_wanted(sets: Sets):
    sets.prompts += [
        prompt("zh", TRAIN[0], "世界上最高的山是什么？"),
        prompt("de", TRAIN[0], "Was ist der höchste Berg der Welt?"),
    ]
    sets.rankings += [ranking("r", TRAIN[0], "世界上最高的山是什么？", "a", "b")]
    sets.run()
    assert '"language"' not in (sets.root / "prompts" / "train.jsonl").read_text()
    counts = sets.run(detect_language=True)
    found = {each.id: each.language for each in read(sets.root / "prompts" / "train.jsonl", Prompt)}
    assert (found["zh"], found["de"], sets.imported()[0].prompt.language) == ("zh", "de", "zh")
    assert counts["prompts"]["language zh"] == counts["rankings"]["language zh"] == 1


@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_a_record_never_moves_from_one_split_to_another_however_data_grows(data: st.DataObject):
    asked = [long(seed, count=12) for seed in range(6)] + [
        long(0, 6, count=12),
        "Who?",
        "世界上最高的山是什么？",
    ]
    added = st.tuples(st.sampled_from(TRAIN[:3] + VALID[:3] + TEST[:3]), st.sampled_from(asked))
    with TemporaryDirectory() as folder:
        sets, before = Sets(Path(folder)), dict[str, Split]()
        sets.longest = 10_000
        rules = data.draw(
            st.fixed_dictionaries(
                {
                    "near_duplicate_similarity": st.sampled_from([None, 0.3]),
                    "decontamination_ngram": st.sampled_from([None, 5]),
                }
            )
        )
        for _ in range(2):
            for user, text in data.draw(st.lists(added, max_size=6)):
                sets.prompts.insert(
                    data.draw(st.integers(0, len(sets.prompts))), prompt(f"n{len(sets.prompts)}", user, text)
                )
            sets.run(**rules)
            now = {
                each.id: split
                for split in SPLITS
                for each in read(sets.root / "prompts" / f"{split}.jsonl", Prompt)
            }
            assert {name: now[name] for name in now.keys() & before.keys()} == {
                name: before[name] for name in now.keys() & before.keys()
            }
            assert all(
                split_of(each.user, 0.1, 0.2) == now[each.id] for each in sets.prompts if each.id in now
            )
            before |= now


def test_workers_change_no_byte(sets: Sets, monkeypatch: pytest.MonkeyPatch):
    people = [*TRAIN[:3], *VALID[:1], *TEST[:2]]
    sets.prompts += [prompt(f"p{n}", people[n % 6], long(n % 40, n)) for n in range(120)]
    sets.rankings += [ranking(f"r{n}", people[n % 6], long(n % 40, n), "a", long(n % 7)) for n in range(120)]
    sets.prompts += [
        prompt("measured", TEST[0], long(90)),
        prompt("learned", TRAIN[0], f"{long(90)[:150]} {long(91)}"),
    ]
    plan = {
        "near_duplicate_similarity": 0.8,
        "shared_prefix_words": 50,
        "decontamination_ngram": 13,
        "detect_language": True,
    }

    def made() -> tuple[Any, list[bytes]]:
        told = sets.run(**plan)
        return told, [
            file.read_bytes()
            for name in ("prompts", "demonstrations", "corpus", "rankings")
            for file in files(sets.root / name)
        ]

    alone = made()
    monkeypatch.setattr(record_files, "PIECE", 4000)
    monkeypatch.setattr(decontamination, "AT_ONCE", 7)
    monkeypatch.setattr(workers, "ALONE", 2)
    monkeypatch.setattr(workers.os, "sched_getaffinity", lambda _: {0, 1})
    assert made() == alone
    assert alone[0]["prompts"]["nearly repeated"], "likeness was at work"
    assert alone[0]["prompts"]["overlaps with evaluation data"], "and so were overlaps"
