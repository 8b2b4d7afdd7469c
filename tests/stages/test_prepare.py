"""What models learn from is redacted, said once, short enough, and split by user; all that was dropped is
counted.
"""

from pathlib import Path

import pytest

from alignloop.data.input_files import DataError
from alignloop.data.preparation.record_features import split_of
from alignloop.data.record_files import read
from alignloop.records import LABELS, BinaryLabel, Demonstration, Document, Prompt
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
    return Sets(tmp_path)


def test_each_user_is_in_one_split_and_the_files_are_exactly_these(sets: Sets):
    counts = sets.run()
    assert sorted(
        path.relative_to(sets.root).as_posix()
        for path in sets.root.rglob("*.jsonl")
        if "raw" not in path.parts
    ) == [
        "corpus/train.jsonl",
        "corpus/valid.jsonl",
        *(
            f"{name}/{split}.jsonl"
            for name in ("demonstrations", "prompts")
            for split in ("test", "train", "valid")
        ),
        "rankings/imported.jsonl",
    ]
    for split, group in zip(SPLITS, (TRAIN, VALID, TEST), strict=True):
        assert {record.user for record in read(sets.root / "prompts" / f"{split}.jsonl", Prompt)} == set(
            group[:3]
        )
        assert {
            record.user for record in read(sets.root / "demonstrations" / f"{split}.jsonl", Demonstration)
        } == set(group[:3])
    dropped = {"too long": 0, "in another split": 0, "repeated": 0, "over the user's cap": 0}
    assert counts["prompts"] == {**dropped, "raw": 9, "train": 3, "valid": 3, "test": 3, "users": 9}


def test_a_prompt_that_users_of_several_splits_wrote_stays_where_it_is_cleanest(sets: Sets):
    sets.prompts += [
        prompt("a1", TRAIN[0], "Who are you?"),
        prompt("a2", TEST[0], "who  are\nYOU?"),
        prompt("a3", VALID[0], "Who are you?"),
    ]
    sets.prompts += [prompt("b1", TRAIN[1], "Why?"), prompt("b2", VALID[1], "Why?")]
    sets.prompts += [prompt("c1", TRAIN[0], "How?"), prompt("c2", TRAIN[1], "how?")]
    counts = sets.run()
    assert [sets.ids("prompts", split) for split in SPLITS] == [["c1"], ["b2"], ["a2"]]
    assert (counts["prompts"]["in another split"], counts["prompts"]["repeated"]) == (3, 1)


def test_a_test_prompt_is_learned_from_neither_as_demonstration_nor_as_ranking(sets: Sets):
    sets.prompts += [prompt("p", TEST[0], "Who are you?")]
    sets.demonstrations += [
        demonstration("d1", TRAIN[0], "Who are you?", "I am."),
        demonstration("d2", TRAIN[0], "Who are you not?", "I."),
    ]
    sets.demonstrations += [demonstration("d3", TRAIN[0], "Hi.", "Hi.", "Who are you?", "I.")]
    sets.rankings += [
        ranking("r1", TRAIN[0], "WHO are you?", "a", "b"),
        ranking("r2", TEST[0], "Who are you?", "a", "b"),
    ]
    counts = sets.run()
    assert sets.ids("demonstrations", "train") == ["d2", "d3"], "another conversation is another prompt"
    assert [(each.id, each.split) for each in sets.imported()] == [("r2", "test")]
    assert (counts["demonstrations"]["in another split"], counts["rankings"]["in another split"]) == (1, 1)


def test_labels_are_redacted_said_once_and_split_by_user_in_a_folder_of_their_own(sets: Sets):
    sets.prompts += [prompt("p", TEST[0], "Who are you?")]
    sets.labels = [
        label("l1", TRAIN[0], "Who is there?", "Ask anna.schmidt@example.org.", good=True),
        label("l2", TRAIN[0], "Who is there?", "Ask anna.schmidt@example.org.", good=True),
        label("l3", TRAIN[0], "Who is there?", "Ask anna.schmidt@example.org.", good=False),
        label("l4", TRAIN[0], "who are you?", "I.", good=True),
        label("l5", VALID[0], "Who is she?", "Anna.", good=False),
    ]
    counts = sets.run()
    kept = read(sets.root / "rankings" / LABELS, BinaryLabel)
    assert [(each.id, each.split, each.response, each.good) for each in kept] == [
        ("l1", "train", "Ask <EMAIL>.", True),
        ("l3", "train", "Ask <EMAIL>.", False),
        ("l5", "valid", "Anna.", False),
    ]
    tally = counts["labels"]
    assert (tally["raw"], tally["in another split"], tally["repeated"]) == (5, 1, 1)
    assert (tally["train"], tally["valid"]) == (2, 1)
    assert sets.imported() == []
    sets.labels = []
    (sets.root / "raw" / "labels.jsonl").unlink()
    assert "labels" not in sets.run()
    assert not (sets.root / "rankings" / LABELS).exists()


def test_a_ranking_in_test_keeps_its_prompt_out_of_train(sets: Sets):
    sets.prompts += [prompt("p", TRAIN[0], "Who are you?")]
    sets.rankings += [ranking("r", TEST[0], "Who are you?", "a", "b")]
    sets.run()
    assert sets.ids("prompts", "train") == []


def test_what_differs_in_answer_or_labeler_is_no_repeat(sets: Sets):
    asked = "Who?"
    sets.demonstrations += [
        demonstration(f"d{place}", TRAIN[0], asked, answer)
        for place, answer in enumerate(("I.", "You.", "I."))
    ]
    sets.rankings += [
        ranking("r1", TRAIN[0], asked, "a", "b"),
        ranking("r2", TRAIN[0], asked, "b", "a"),
        ranking("r3", TRAIN[0], asked, "a", "b"),
    ]
    sets.rankings += [ranking("r4", TRAIN[0], asked, "a", "b", labeler="labeler-2")]
    counts = sets.run()
    assert sets.ids("demonstrations", "train") == ["d0", "d1"]
    assert [each.id for each in sets.imported()] == ["r1", "r2", "r4"]
    assert (counts["demonstrations"]["repeated"], counts["rankings"]["repeated"]) == (1, 1)


def test_a_user_keeps_the_first_records_up_to_the_cap(sets: Sets):
    sets.prompts += [prompt(f"p{number}", TRAIN[9], f"What is {number % 4}?") for number in range(6)]
    sets.prompts += [prompt("q", TRAIN[8], "What else?")]
    counts = sets.run(prompts_per_user=3)
    assert sets.ids("prompts", "train") == ["p0", "p1", "p2", "q"]
    assert (counts["prompts"]["over the user's cap"], counts["prompts"]["repeated"]) == (1, 2), (
        "a repeat takes no place"
    )


def test_a_conversation_is_too_long_with_its_longest_answer(sets: Sets):
    sets.prompts += [prompt("p1", TRAIN[0], "x" * 100), prompt("p2", TRAIN[0], "y" * 101)]
    sets.demonstrations += [
        demonstration("d1", TRAIN[0], "Hi", "h" * 98),
        demonstration("d2", TRAIN[0], "Hi", "h" * 99),
    ]
    sets.rankings += [
        ranking("r1", TRAIN[0], "Ha", "b" * 98, "a" * 98),
        ranking("r2", TRAIN[0], "Ha", "a", "b" * 99),
    ]
    counts = sets.run()
    assert (
        sets.ids("prompts", "train"),
        sets.ids("demonstrations", "train"),
        [each.id for each in sets.imported()],
    ) == (
        ["p1"],
        ["d1"],
        ["r1"],
    )
    assert [counts[name]["too long"] for name in ("prompts", "demonstrations", "rankings")] == [1, 1, 1]


def test_personal_data_is_taken_out_everywhere_and_counted(sets: Sets):
    mail, call = "ann@example.org", "(415) 555-0123"
    address = "bob@example.org"
    bob = next(
        name
        for name in (f"bob{number}@example.org" for number in range(99))
        if split_of(name, 0.1, 0.2) == "train"
    )
    sets.prompts += [prompt("p", TRAIN[0], f"Write to {mail} or {mail}"), prompt("q", bob, "Whom?")]
    sets.demonstrations += [
        demonstration("d", TRAIN[0], f"Call {call}", f"I call {call}."),
        demonstration("e", bob, "Whose?", "His."),
    ]
    sets.rankings += [ranking("r", TRAIN[0], f"And {mail}?", f"Not {call}", "No")]
    sets.documents += [
        Document(id="doc", text=f"From {address}", source="s"),
        Document(id="chat", messages=messages(mail, "Yes."), source="s"),
    ]
    counts = sets.run()
    written = "".join(path.read_text() for path in sets.root.rglob("*.jsonl") if "raw" not in path.parts)
    assert not any(personal in written for personal in (mail, call, address, bob))
    assert {
        name: {key: value for key, value in each.items() if key.startswith("redacted")}
        for name, each in counts.items()
    } == {
        "prompts": {"redacted EMAIL": 2, "redacted user ids": 1},
        "demonstrations": {"redacted PHONE": 2, "redacted user ids": 1},
        "rankings": {"redacted EMAIL": 1, "redacted PHONE": 1},
        "corpus": {"redacted EMAIL": 2},
    }
    pseudonyms = {
        record.user
        for name, kind in (("prompts", Prompt), ("demonstrations", Demonstration))
        for split in SPLITS
        for record in read(sets.root / name / f"{split}.jsonl", kind)
        if record.user.startswith("user-")
    }
    assert len(pseudonyms) == 1, "the same person stays the same user"


def test_prompts_that_only_their_personal_data_told_apart_are_one(sets: Sets):
    sets.prompts += [
        prompt("p1", TRAIN[0], "Write to ann@example.org"),
        prompt("p2", TRAIN[1], "Write to bob@example.org"),
    ]
    sets.run()
    assert sets.ids("prompts", "train") == ["p1"]


def test_the_corpus_keeps_every_document_and_equal_ones_together(sets: Sets):
    sets.documents = [
        Document(id=f"d{number}", text=f"Text {number % 200}.", source="s") for number in range(2000)
    ]
    counts = sets.run()
    train, valid = (read(sets.root / "corpus" / f"{split}.jsonl", Document) for split in ("train", "valid"))
    assert len(train) + len(valid) == 2000 == counts["corpus"]["raw"]
    assert not {each.text for each in train} & {each.text for each in valid}
    assert 0.04 < len(valid) / 2000 < 0.16


def test_a_split_that_stays_empty_is_named_with_the_remedy_and_nothing_is_lost(sets: Sets):
    sets.run()
    before = (sets.root / "prompts" / "test.jsonl").read_bytes()
    sets.prompts = [each for each in sets.prompts if each.user not in TEST]
    with pytest.raises(
        DataError,
        match=(
            r"prompts/test.jsonl: of 6 prompts none is left for this split; add data of more users, or "
            r"change"
        ),
    ):
        sets.run()
    assert (sets.root / "prompts" / "test.jsonl").read_bytes() == before


def test_the_split_stays_when_data_grows_and_two_runs_give_the_same_bytes(sets: Sets):
    sets.run()
    first = {path: path.read_bytes() for path in sets.root.rglob("*.json*")}
    sets.run()
    assert {path: path.read_bytes() for path in sets.root.rglob("*.json*")} == first
    known = read(sets.root / "prompts" / "train.jsonl", Prompt)
    sets.prompts += [prompt(f"new-{user}", user, f"And {user}?") for user in TRAIN[20:40]]
    sets.run()
    assert read(sets.root / "prompts" / "train.jsonl", Prompt)[: len(known)] == known


def test_without_plain_text_the_corpus_is_empty_and_every_missing_split_is_named_at_once(sets: Sets):
    sets.documents = []
    counts = sets.run()
    assert counts["corpus"]["raw"] == 0
    for split in ("train", "valid"):
        assert (sets.root / "corpus" / f"{split}.jsonl").read_bytes() == b""
    sets.prompts = [each for each in sets.prompts if each.user not in TEST]
    sets.demonstrations = [each for each in sets.demonstrations if each.user in VALID]
    with pytest.raises(
        DataError, match=r"prompts/test.jsonl: of 6 (.*\n)+.*demonstrations/train.jsonl: of 3"
    ):
        sets.run()


def test_little_data_and_many_records_that_are_too_long_are_said(sets: Sets):
    sets.run()
    [said] = sets.said
    assert said.startswith("too little data: 3 demonstrations")
    assert "3 test prompts: a win rate is known to ±37 points only" in said
    user = TRAIN[9]
    sets.demonstrations += [demonstration(f"long-{n}", user, f"Why {n}?", "x" * 200) for n in range(2)]
    sets.run()
    [said] = sets.said
    assert said.endswith(
        "left out as longer than validate.max_characters (100): 2 of 11 demonstrations; raise it if the base "
        "model's context holds more"
    )
    sets.longest = 300
    sets.run()
    assert "left out" not in sets.said[0]
