"""What models learn from is redacted, said once, short enough, and split by user; all that was dropped is counted."""

import json
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from alignloop import params as parameters
from alignloop.io.datasets import DataError, read, split_of, write
from alignloop.records import Demonstration, Document, Message, Prompt, Ranking, Split
from alignloop.stages.prepare import prepare

ROOT = Path(__file__).resolve().parents[2]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")


def users(split: Split) -> list[str]:
    return [user for user in (f"u{number}" for number in range(400)) if split_of(user, 0.1, 0.2) == split]


TRAIN, VALID, TEST = (users(split) for split in SPLITS)


def messages(*said: str) -> tuple[Message, ...]:
    return tuple(Message(role="user" if place % 2 == 0 else "assistant", content=content) for place, content in enumerate(said))


def prompt(name: str, user: str, said: str) -> Prompt:
    return Prompt(id=name, messages=messages(said), user=user, source="s")


def demonstration(name: str, user: str, *said: str) -> Demonstration:
    return Demonstration(id=name, messages=messages(*said), user=user, labeler="labeler-1", source="s")


def ranking(name: str, user: str, said: str, *responses: str, labeler: str = "labeler-1") -> Ranking:
    ranks = tuple(range(1, len(responses) + 1))
    about = {"id": name, "labeler": labeler, "kind": "person", "policy": "p", "round": "imported"}
    return Ranking(prompt=prompt(f"{name}-p", user, said), responses=responses, ranks=ranks, **about)  # type: ignore[arg-type]


class Sets:
    """Raw records enough for every split, more by a test, and what prepare makes of them."""

    def __init__(self, root: Path):
        self.root, self.longest = root, 100
        self.prompts = [prompt(f"own-{user}", user, f"What is {user}?") for user in (*TRAIN[:3], *VALID[:3], *TEST[:3])]
        self.demonstrations = [demonstration(f"own-{user}", user, f"Who is {user}?", "I.") for user in (*TRAIN[:3], *VALID[:3], *TEST[:3])]
        self.rankings: list[Ranking] = []
        self.documents = [Document(id=f"d{number}", text=f"Text {number}.", source="s") for number in range(60)]

    def run(self, **changes: Any) -> dict[str, Any]:
        raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        raw["prepare"] |= {"valid": 0.1, "test": 0.2, **changes}
        raw["validate"]["max_characters"] = self.longest
        for name in ("prompts", "demonstrations", "rankings", "documents"):
            write(self.root / "raw" / f"{name}.jsonl", getattr(self, name))
        outs = {name: self.root / name for name in ("raw", "prompts", "demonstrations", "corpus", "rankings")}
        list(prepare(parameters.parse(raw, "params.yaml"), **outs, metrics=self.root / "prepare.json"))
        return json.loads((self.root / "prepare.json").read_text(encoding="utf-8"))

    def ids(self, name: str, split: Split) -> list[str]:
        kind = Prompt if name == "prompts" else Demonstration
        found = read(self.root / name / f"{split}.jsonl", kind, allow_empty=True)
        return [record.id for record in found if not record.id.startswith("own-")]

    def imported(self) -> list[Ranking]:
        return read(self.root / "rankings" / "imported.jsonl", Ranking, allow_empty=True)


@pytest.fixture
def sets(tmp_path: Path) -> Sets:
    return Sets(tmp_path)


def test_each_user_is_in_one_split_and_the_files_are_exactly_these(sets: Sets):
    counts = sets.run()
    assert sorted(path.relative_to(sets.root).as_posix() for path in sets.root.rglob("*.jsonl") if "raw" not in path.parts) == [
        "corpus/train.jsonl",
        "corpus/valid.jsonl",
        *(f"{name}/{split}.jsonl" for name in ("demonstrations", "prompts") for split in ("test", "train", "valid")),
        "rankings/imported.jsonl",
    ]
    for split, group in zip(SPLITS, (TRAIN, VALID, TEST), strict=True):
        assert {record.user for record in read(sets.root / "prompts" / f"{split}.jsonl", Prompt)} == set(group[:3])
        assert {record.user for record in read(sets.root / "demonstrations" / f"{split}.jsonl", Demonstration)} == set(group[:3])
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
    sets.demonstrations += [demonstration("d1", TRAIN[0], "Who are you?", "I am."), demonstration("d2", TRAIN[0], "Who are you not?", "I.")]
    sets.demonstrations += [demonstration("d3", TRAIN[0], "Hi.", "Hi.", "Who are you?", "I.")]
    sets.rankings += [ranking("r1", TRAIN[0], "WHO are you?", "a", "b"), ranking("r2", TEST[0], "Who are you?", "a", "b")]
    counts = sets.run()
    assert sets.ids("demonstrations", "train") == ["d2", "d3"], "another conversation is another prompt"
    assert [(each.id, each.split) for each in sets.imported()] == [("r2", "test")]
    assert (counts["demonstrations"]["in another split"], counts["rankings"]["in another split"]) == (1, 1)


def test_a_ranking_in_test_keeps_its_prompt_out_of_train(sets: Sets):
    sets.prompts += [prompt("p", TRAIN[0], "Who are you?")]
    sets.rankings += [ranking("r", TEST[0], "Who are you?", "a", "b")]
    sets.run()
    assert sets.ids("prompts", "train") == []


def test_what_differs_in_answer_or_labeler_is_no_repeat(sets: Sets):
    asked = "Who?"
    sets.demonstrations += [demonstration(f"d{place}", TRAIN[0], asked, answer) for place, answer in enumerate(("I.", "You.", "I."))]
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
    assert (counts["prompts"]["over the user's cap"], counts["prompts"]["repeated"]) == (1, 2), "a repeat takes no place"


def test_a_conversation_is_too_long_with_its_longest_answer(sets: Sets):
    sets.prompts += [prompt("p1", TRAIN[0], "x" * 100), prompt("p2", TRAIN[0], "y" * 101)]
    sets.demonstrations += [demonstration("d1", TRAIN[0], "Hi", "h" * 98), demonstration("d2", TRAIN[0], "Hi", "h" * 99)]
    sets.rankings += [ranking("r1", TRAIN[0], "Ha", "b" * 98, "a" * 98), ranking("r2", TRAIN[0], "Ha", "a", "b" * 99)]
    counts = sets.run()
    assert (sets.ids("prompts", "train"), sets.ids("demonstrations", "train"), [each.id for each in sets.imported()]) == (
        ["p1"],
        ["d1"],
        ["r1"],
    )
    assert [counts[name]["too long"] for name in ("prompts", "demonstrations", "rankings")] == [1, 1, 1]


def test_personal_data_is_taken_out_everywhere_and_counted(sets: Sets):
    mail, call, address = "ann@example.org", "(415) 555-0123", "bob@example.org"
    bob = next(name for name in (f"bob{number}@example.org" for number in range(99)) if split_of(name, 0.1, 0.2) == "train")
    sets.prompts += [prompt("p", TRAIN[0], f"Write to {mail} or {mail}"), prompt("q", bob, "Whom?")]
    sets.demonstrations += [demonstration("d", TRAIN[0], f"Call {call}", f"I call {call}."), demonstration("e", bob, "Whose?", "His.")]
    sets.rankings += [ranking("r", TRAIN[0], f"And {mail}?", f"Not {call}", "No")]
    sets.documents += [
        Document(id="doc", text=f"From {address}", source="s"),
        Document(id="chat", messages=messages(mail, "Yes."), source="s"),
    ]
    counts = sets.run()
    written = "".join(path.read_text() for path in sets.root.rglob("*.jsonl") if "raw" not in path.parts)
    assert not any(personal in written for personal in (mail, call, address, bob))
    assert {name: {key: value for key, value in each.items() if key.startswith("redacted")} for name, each in counts.items()} == {
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
    sets.prompts += [prompt("p1", TRAIN[0], "Write to ann@example.org"), prompt("p2", TRAIN[1], "Write to bob@example.org")]
    sets.run()
    assert sets.ids("prompts", "train") == ["p1"]


def test_the_corpus_keeps_every_document_and_equal_ones_together(sets: Sets):
    sets.documents = [Document(id=f"d{number}", text=f"Text {number % 200}.", source="s") for number in range(2000)]
    counts = sets.run()
    train, valid = (read(sets.root / "corpus" / f"{split}.jsonl", Document) for split in ("train", "valid"))
    assert len(train) + len(valid) == 2000 == counts["corpus"]["raw"]
    assert not {each.text for each in train} & {each.text for each in valid}
    assert 0.04 < len(valid) / 2000 < 0.16


def test_a_split_that_stays_empty_is_named_with_the_remedy_and_nothing_is_lost(sets: Sets):
    sets.run()
    before = (sets.root / "prompts" / "test.jsonl").read_bytes()
    sets.prompts = [each for each in sets.prompts if each.user not in TEST]
    with pytest.raises(DataError, match=r"prompts/test.jsonl: of 6 prompts none is left for this split; add data of more users, or change"):
        sets.run()
    assert (sets.root / "prompts" / "test.jsonl").read_bytes() == before


def long(seed: int, *changes: int, count: int = 60) -> str:
    """A text of so many words, some of them others."""
    random = Random(seed)
    said = [f"w{random.randrange(1000)}" for _ in range(count)]
    return " ".join("other" if place in changes else word for place, word in enumerate(said))


def test_what_is_nearly_the_same_counts_as_the_same_over_all_sets_where_that_is_wanted(sets: Sets):
    sets.longest = 10_000
    sets.prompts += [prompt("p1", TRAIN[0], long(1)), prompt("p2", TRAIN[1], long(1, 30)), prompt("p3", TRAIN[1], long(2))]
    sets.prompts += [prompt("p4", TEST[0], long(3, 30))]
    sets.demonstrations += [demonstration("d1", TRAIN[0], long(3), "I."), demonstration("d2", TRAIN[0], long(4), "I.")]
    sets.demonstrations += [demonstration("d3", TRAIN[0], long(4, 30), "I."), demonstration("d4", TRAIN[0], long(4), long(5))]
    sets.rankings += [ranking("r1", TRAIN[0], long(6), "a", "b"), ranking("r2", TRAIN[1], long(6, 30), "a", "b")]
    sets.rankings += [ranking("r3", TRAIN[1], long(6, 30), "a", "b", labeler="labeler-2")]
    sets.documents += [Document(id="t1", text=long(7), source="s"), Document(id="t2", text=long(7, 30), source="s")]
    off = sets.run()
    assert (sets.ids("prompts", "train"), sets.ids("demonstrations", "train")) == (["p1", "p2", "p3"], ["d1", "d2", "d3", "d4"])
    assert not any(rule.startswith("nearly") for tally in off.values() for rule in tally)
    on = sets.run(near_duplicates=0.8)
    assert (sets.ids("prompts", "train"), sets.ids("demonstrations", "train")) == (["p1", "p3"], ["d2", "d4"])
    assert [each.id for each in sets.imported()] == ["r1", "r3"], "another labeler's ranking is another ranking"
    assert on["prompts"]["nearly repeated"] == 1
    assert (on["demonstrations"]["nearly in another split"], on["demonstrations"]["nearly repeated"]) == (1, 1)
    assert on["rankings"]["nearly repeated"] == 1
    assert on["corpus"]["nearly repeated"] + on["corpus"]["nearly in another split"] == 1
    assert on["corpus"]["train"] + on["corpus"]["valid"] == len(sets.documents) - 1


def test_prompts_with_a_long_common_beginning_are_one_and_what_follows_on_one_conversation_is_not(sets: Sets):
    sets.longest = 10_000
    sets.prompts += [prompt("p1", TRAIN[0], long(1) + " yes"), prompt("p2", TRAIN[1], long(1) + " no"), prompt("p3", TRAIN[1], long(1)[:80])]
    sets.prompts += [Prompt(id=f"p{n}", messages=messages(long(2), "Hm.", f"Why {n}?"), user=TRAIN[0], source="s") for n in (4, 5)]
    sets.run(common_beginning=60)
    assert sets.ids("prompts", "train") == ["p1", "p3", "p4", "p5"]


def test_what_shares_words_with_a_test_prompt_is_not_learned(sets: Sets):
    sets.longest = 10_000
    asked = "敏捷的棕色狐狸跳过了懒狗的背然后回家"
    sets.prompts += [prompt("t1", TEST[0], long(1, count=20)), prompt("t2", TEST[0], asked), prompt("p1", TRAIN[0], f"So: {long(1, 13, count=20)}")]
    sets.prompts += [prompt("p2", TRAIN[0], long(1, 12, count=20)), prompt("p3", VALID[0], f"问：{asked[:14]}")]
    sets.demonstrations += [demonstration("d1", TRAIN[0], "Say it.", long(1, count=20)), demonstration("d2", TRAIN[0], "Not.", "I.")]
    sets.rankings += [ranking("r1", TRAIN[0], "Which?", "a", f"It is: {asked}"), ranking("r2", TEST[1], "Which one?", "a", long(1, count=20))]
    sets.documents += [Document(id="t1", text=long(1, count=20) + " and so on.", source="s")]
    counts = sets.run(contamination=13)
    assert [sets.ids("prompts", split) for split in SPLITS] == [["p2"], [], ["t1", "t2"]]
    assert sets.ids("demonstrations", "train") == ["d2"]
    assert [each.id for each in sets.imported()] == ["r2"], "what is measured itself stays"
    assert {name: tally["overlaps what is measured"] for name, tally in counts.items()} == {
        "prompts": 2,
        "demonstrations": 1,
        "rankings": 1,
        "corpus": 1,
    }


def test_languages_are_tagged_and_counted_where_that_is_wanted(sets: Sets):
    sets.prompts += [prompt("zh", TRAIN[0], "世界上最高的山是什么？"), prompt("de", TRAIN[0], "Was ist der höchste Berg der Welt?")]
    sets.rankings += [ranking("r", TRAIN[0], "世界上最高的山是什么？", "a", "b")]
    sets.run()
    assert '"language"' not in (sets.root / "prompts" / "train.jsonl").read_text()
    counts = sets.run(languages=True)
    found = {each.id: each.language for each in read(sets.root / "prompts" / "train.jsonl", Prompt)}
    assert (found["zh"], found["de"], sets.imported()[0].prompt.language) == ("zh", "de", "zh")
    assert counts["prompts"]["language zh"] == counts["rankings"]["language zh"] == 1


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_a_record_never_moves_from_one_split_to_another_however_data_grows(data: st.DataObject):
    asked = [long(seed, count=12) for seed in range(6)] + [long(0, 6, count=12), "Who?", "世界上最高的山是什么？"]
    added = st.tuples(st.sampled_from(TRAIN[:3] + VALID[:3] + TEST[:3]), st.sampled_from(asked))
    with TemporaryDirectory() as folder:
        sets, before = Sets(Path(folder)), dict[str, Split]()
        sets.longest = 10_000
        rules = data.draw(st.fixed_dictionaries({"near_duplicates": st.sampled_from([None, 0.3]), "contamination": st.sampled_from([None, 5])}))
        for _ in range(3):
            for user, text in data.draw(st.lists(added, max_size=6)):
                sets.prompts.insert(data.draw(st.integers(0, len(sets.prompts))), prompt(f"n{len(sets.prompts)}", user, text))
            sets.run(**rules)
            now = {each.id: split for split in SPLITS for each in read(sets.root / "prompts" / f"{split}.jsonl", Prompt)}
            assert {name: now[name] for name in now.keys() & before.keys()} == {name: before[name] for name in now.keys() & before.keys()}
            assert all(split_of(each.user, 0.1, 0.2) == now[each.id] for each in sets.prompts if each.id in now)
            before |= now


def test_the_split_stays_when_data_grows_and_two_runs_give_the_same_bytes(sets: Sets):
    sets.run()
    first = {path: path.read_bytes() for path in sets.root.rglob("*.json*")}
    sets.run()
    assert {path: path.read_bytes() for path in sets.root.rglob("*.json*")} == first
    known = read(sets.root / "prompts" / "train.jsonl", Prompt)
    sets.prompts += [prompt(f"new-{user}", user, f"And {user}?") for user in TRAIN[20:40]]
    sets.run()
    assert read(sets.root / "prompts" / "train.jsonl", Prompt)[: len(known)] == known
