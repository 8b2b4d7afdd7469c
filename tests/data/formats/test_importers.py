"""Each public format becomes our records; what cannot be used is refused with a reason, and files of no known format are named."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from alignloop.data.formats import FORMATS, Changed, Refused, glance, sniff
from alignloop.data.record_files import DataError
from alignloop.records import Demonstration, Document, Prompt, Ranking, Record


def rows(path: Path, *content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content), encoding="utf-8", newline="\n"
    )
    return path


def imported(path: Path, format: str, source: str = "folder/file.jsonl") -> list[Record | Refused]:
    return [
        item.record if isinstance(item, Changed) else item for _, item in FORMATS[format].read(path, source)
    ]


def said(record: Record) -> list[str]:
    assert isinstance(record, Prompt | Demonstration)
    return [f"{message.role}: {message.content}" for message in record.messages]


def pair(chosen: str, rejected: str, before: str = "\n\nHuman: Hello?\n\nAssistant:") -> dict[str, str]:
    return {"chosen": before + chosen, "rejected": before + rejected}


def hh(path: Path, *pairs: dict[str, str]) -> list[Record | Refused]:
    return imported(rows(path / "hh.jsonl", *pairs), "hh-rlhf", "harmless-base/train.jsonl")


def test_a_pair_of_transcripts_is_a_ranking_of_its_last_answers(tmp_path: Path):
    before = "\n\nHuman: Hi!\n\nAssistant: Hello.\n\nHuman: Why is\n\nthe sky: blue?\n\nAssistant:"
    [ranking] = hh(tmp_path, pair(" Air scatters blue.\n\nMore: see", " Air\u2028scatters.", before))
    assert isinstance(ranking, Ranking)
    assert said(ranking.prompt) == ["user: Hi!", "assistant: Hello.", "user: Why is\n\nthe sky: blue?"]
    assert ranking.responses == ("Air scatters blue.\n\nMore: see", "Air\u2028scatters.")
    assert (ranking.ranks, ranking.kind, ranking.labeler, ranking.prompt.category) == (
        (1, 2),
        "person",
        "hh-rlhf",
        "harmless-base",
    )


def test_answers_that_begin_alike_are_kept_whole(tmp_path: Path):
    [ranking] = hh(tmp_path, pair(" I am sorry, no.", " I am sorry."))
    assert isinstance(ranking, Ranking)
    assert ranking.responses == ("I am sorry, no.", "I am sorry.")


def test_an_empty_last_answer_is_an_answer_that_people_saw(tmp_path: Path):
    [ranking] = hh(tmp_path, pair("", " What?"))
    assert isinstance(ranking, Ranking)
    assert ranking.responses == ("", "What?")


TRAPS = {
    "chosen and rejected are the same": pair(" Hm.", " Hm. "),
    "the transcripts part before the last turn": pair(" A.\n\nHuman: B?\n\nAssistant: C.", " D."),
    "an empty turn before the last": pair(
        " A.", " B.", "\n\nHuman: Hi?\n\nAssistant: \n\nHuman: Hm?\n\nAssistant:"
    ),
    "a speaker talks twice in a row": pair(" A.", " B.", "\n\nHuman: Hi?\n\nHuman: Hm?\n\nAssistant:"),
    "the transcripts share no prompt": {
        "chosen": "\n\nHuman: A?\n\nAssistant: B.",
        "rejected": "\n\nHuman: C?\n\nAssistant: B.",
    },
    "rejected: Input should be a valid string": {
        "chosen": "\n\nHuman: A?\n\nAssistant: B.",
        "rejected": True,
    },
    "chosen: Field required": {"rejected": "\n\nHuman: C?\n\nAssistant: B."},
}


def test_each_trap_of_a_pair_is_refused_with_its_reason_and_its_line(tmp_path: Path):
    path = rows(tmp_path / "hh.jsonl", *TRAPS.values(), pair(" A.", " B."))
    items = list(FORMATS["hh-rlhf"].read(path, "hh.jsonl"))
    assert [(line, item.reason) for line, item in items[:-1] if isinstance(item, Refused)] == list(
        enumerate(TRAPS, 1)
    )
    assert isinstance(items[-1][1], Ranking)


def test_all_turns_of_one_conversation_have_one_user(tmp_path: Path):
    longer = "\n\nHuman: Hello?\n\nAssistant: Hi.\n\nHuman: And?\n\nAssistant:"
    first, later, other = hh(
        tmp_path,
        pair(" A.", " B."),
        pair(" A.", " B.", longer),
        pair(" A.", " B.", "\n\nHuman: Hey?\n\nAssistant:"),
    )
    assert isinstance(first, Ranking)
    assert isinstance(later, Ranking)
    assert isinstance(other, Ranking)
    assert first.prompt.user == later.prompt.user != other.prompt.user
    assert len({first.id, later.id, other.id}) == 3


def node(name: str, *replies: dict[str, Any], rank: int | None = None, **other: Any) -> dict[str, Any]:
    role = "prompter" if name.startswith("?") else "assistant"
    return {
        "message_id": f"id {name}",
        "text": name,
        "role": role,
        "rank": rank,
        "replies": list(replies),
        "lang": "en",
        **other,
    }


def tree(*replies: dict[str, Any]) -> dict[str, Any]:
    return {"message_tree_id": "t1", "tree_state": "ready_for_export", "prompt": node("?one", *replies)}


def trees(path: Path, *content: dict[str, Any]) -> list[Record | Refused]:
    return imported(rows(path / "oa.jsonl", *content), "open-assistant")


def test_a_tree_gives_a_prompt_per_persons_message_and_a_ranking_where_answers_are_ranked(tmp_path: Path):
    inner = node("?two", node("c", rank=1), node("d", rank=0), node("e", rank=2))
    prompt, ranking, follow, deeper, last = trees(
        tmp_path, tree(node("b", rank=1), node("a", inner, node("?three"), rank=0))
    )
    assert isinstance(ranking, Ranking)
    assert isinstance(deeper, Ranking)
    assert (ranking.responses, ranking.ranks, ranking.prompt) == (("b", "a"), (2, 1), prompt)
    assert (deeper.responses, deeper.ranks, deeper.prompt) == (("c", "d", "e"), (2, 1, 3), follow)
    assert said(deeper.prompt) == ["user: ?one", "assistant: a", "user: ?two"]
    assert isinstance(last, Prompt)
    assert said(last)[-1] == "user: ?three"
    assert {deeper.prompt.user, last.user} == {ranking.prompt.user}
    assert (ranking.kind, ranking.labeler) == ("person", "open-assistant")


def test_gaps_in_ranks_close_and_equal_ranks_are_ties(tmp_path: Path):
    _, ranking = trees(
        tmp_path, tree(node("a", rank=4), node("b", rank=0), node("c", rank=4), node("d", rank=2))
    )
    assert isinstance(ranking, Ranking)
    assert ranking.ranks == (3, 1, 3, 2)


def test_one_answer_is_no_ranking_and_unranked_deleted_and_empty_ones_are_refused(tmp_path: Path):
    assert [type(item) for item in trees(tmp_path, tree(node("a", rank=0)))] == [Prompt]
    assert trees(tmp_path, tree(node("a", rank=0), node("b")))[1] == Refused(
        "two or more answers, not all of them ranked"
    )
    deleted = trees(
        tmp_path, tree(node("a", rank=0), node("b", rank=1), node("c", node("?two"), rank=2, deleted=True))
    )
    assert deleted[2:] == [Refused("a deleted message, and what followed it")]
    assert isinstance(deleted[1], Ranking)
    assert deleted[1].responses == ("a", "b")
    assert trees(tmp_path, tree(node(" ")))[1] == Refused("an empty message, and what followed it")
    assert trees(tmp_path, {"message_tree_id": "t", "prompt": {}}) == [
        Refused("prompt.message_id: Field required; prompt.role: Field required; prompt.text: Field required")
    ]


def test_gsm8k_loses_the_calculators_marks_and_nothing_else(tmp_path: Path):
    row = {"question": "What is 16-3? ", "answer": "It is 16-3=<<16-3=13>>13, so\n#### 13"}
    [demonstration] = imported(rows(tmp_path / "g.jsonl", row), "gsm8k")
    assert isinstance(demonstration, Demonstration)
    assert said(demonstration) == ["user: What is 16-3?", "assistant: It is 16-3=13, so\n#### 13"]
    assert imported(rows(tmp_path / "g.jsonl", {"question": "?", "answer": True}), "gsm8k") == [
        Refused("answer: Input should be a valid string")
    ]


def test_a_task_is_a_demonstration_per_instance_with_its_input_below_the_instruction(tmp_path: Path):
    instances = [{"input": "cat", "output": "Katze"}, {"input": "", "output": " Ja."}]
    first, second = imported(
        rows(
            tmp_path / "s.jsonl",
            {"instruction": "Translate.", "instances": instances, "is_classification": True},
        ),
        "self-instruct",
    )
    assert isinstance(first, Demonstration)
    assert isinstance(second, Demonstration)
    assert said(first) == ["user: Translate.\n\ncat", "assistant: Katze"]
    assert said(second) == ["user: Translate.", "assistant: Ja."]
    assert first.user == second.user
    assert first.category == "classification"
    assert imported(
        rows(tmp_path / "s.jsonl", {"instruction": "X", "instances": [{"input": "", "output": " "}]}),
        "self-instruct",
    ) == [Refused("content: String should have at least # character")]


def test_our_own_records_are_told_by_their_fields_and_come_in_unchanged(tmp_path: Path):
    turn = {"role": "user", "content": "Hi?"}
    prompt = {"id": "p", "messages": [turn], "user": "u", "source": "s"}
    demonstration = {
        **prompt,
        "id": "d",
        "labeler": "l",
        "messages": [turn, {"role": "assistant", "content": "Hi!"}],
    }
    ranking = {
        "id": "r",
        "prompt": prompt,
        "responses": ["a", "b"],
        "ranks": [1, 1],
        "labeler": "l",
        "kind": "person",
        "policy": "p",
        "round": "x",
    }
    for row, kind in (
        (prompt, Prompt),
        (demonstration, Demonstration),
        (ranking, Ranking),
        ({"id": "t", "text": "x", "source": "s"}, Document),
    ):
        path = rows(tmp_path / "own.jsonl", row, {**row, "extra": 1})
        assert sniff(path) == "own"
        assert imported(path, "own") == [
            kind.model_validate_json(json.dumps(row)),
            Refused("extra: Extra inputs are not permitted"),
        ]


def test_text_becomes_groups_of_paragraphs_of_bounded_length_and_loses_only_white_space(tmp_path: Path):
    short, long = "a line\nanother line", "A sentence of some words. " * 100
    text = "\n\n".join([short] * 40 + [long] + ["x" * 1300] + [short]) + "\n"
    (tmp_path / "book.txt").write_text(text)
    items = list(FORMATS["text"].read(tmp_path / "book.txt", "book.txt"))
    documents = [document for _, document in items if isinstance(document, Document)]
    assert len(documents) == len(items) == len({document.id for document in documents})
    assert max(len(document.text or "") for document in documents) <= 500
    assert "".join("".join((document.text or "").split()) for document in documents) == "".join(text.split())
    assert (documents[0].text or "").startswith(f"{short}\n\n{short}")
    lines = text.split("\n")
    assert all(
        lines[line - 1] and (document.text or "").startswith(lines[line - 1][:1])
        for line, document in items
        if isinstance(document, Document)
    )


def test_a_format_is_known_by_the_first_line_whatever_the_file_is_called(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(gzip.compress(json.dumps(pair(" A.", " B.")).encode()))
    assert sniff(tmp_path / "a.txt") == "hh-rlhf"
    assert sniff(rows(tmp_path / "b", tree(node("a")))) == "open-assistant"
    assert sniff(rows(tmp_path / "c", {"question": "?", "answer": "so\n#### 1"})) == "gsm8k"
    (tmp_path / "d.txt").write_text("\n{ not JSON")
    assert sniff(tmp_path / "d.txt") == "text"


ROW = json.dumps(pair(" A.", " B."))


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.txt.gz"])
@pytest.mark.parametrize(
    ("content", "format"),
    [
        ('"Well, Prince, so Genoa is a family estate."\n\nIt was July.\n', "text"),
        ('"Well, Prince."\n"Well?"\n', "text"),
        ('"Well, Prince."', "text"),
        ('{"text": "x"}\nis a line of a corpus.\n', "text"),
        ('{"text": "x"}\n\n \nis a line of a corpus.\n', "text"),
        ('{"text": "x"}\n```\n', "text"),
        ("", "text"),
        ('{"text": "x"}\n\n{"text": "y"}\n', "corpus"),
        ('{"text": "x"}\n\n', "corpus"),
        ('{"text": "x"}', "corpus"),
        (f"{ROW}\n{ROW}\n", "hh-rlhf"),
    ],
)
def test_a_file_called_text_is_text_unless_its_first_two_lines_are_rows(
    tmp_path: Path, name: str, content: str, format: str
):
    (tmp_path / name).write_bytes(
        gzip.compress(content.encode()) if name.endswith("gz") else content.encode()
    )
    assert sniff(tmp_path / name) == format
    looks = {
        "text": "the first row is a line of text",
        "corpus": "the first row is an object of 'text', which looks like corpus",
    }
    assert glance(tmp_path / name) == looks.get(
        format, "the first row is an object of 'chosen', 'rejected', which looks like hh-rlhf"
    )


UNKNOWN = {
    "an unknown object": (
        '{"question": "?", "answer": "no number"}',
        "f.jsonl:1: no known format: its first row is an object of 'question', 'answer'",
    ),
    "a bare number": ("7", "f.jsonl:1: no known format: its first row is a bare int"),
    "an array of nothing": (
        "[\n  {}\n]",
        "f.jsonl:2: no known format: its first row is an object of nothing",
    ),
    "a broken line": (
        '{"chosen": "',
        'f.jsonl:1: no format can be seen: broken JSON: Unterminated string starting at: it begins with \'{"chosen": "\'',
    ),
    "a table": (
        "id,text\n1,x",
        "f.jsonl:1: no format can be seen: broken JSON: Expecting value: it begins with 'id,text\\n'",
    ),
    "a pointer": (
        "version https://git-lfs.github.com/spec/v1\noid sha256:1",
        "f.jsonl: is a Git LFS pointer",
    ),
    "nothing": ("", "f.jsonl: the file is empty; remove it, or fetch it again"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_file_of_no_known_format_is_named_with_what_was_seen(tmp_path: Path, name: str):
    content, says = UNKNOWN[name]
    (tmp_path / "f.jsonl").write_text(content)
    with pytest.raises(DataError) as caught:
        sniff(tmp_path / "f.jsonl")
    assert says in str(caught.value)
    if "format" in says:
        assert "name its format in ingest.formats" in str(caught.value)


def test_the_readme_shows_a_valid_line_of_every_type():
    text = (Path(__file__).parents[3] / "data" / "README.md").read_text(encoding="utf-8")
    shown = [line for line in text.split("\n") if line.startswith('{"id"')]
    kinds = [Document, Document, Prompt, Demonstration, Ranking]
    assert [
        kind.model_validate_json(line, strict=True).model_dump()["id"]
        for kind, line in zip(kinds, shown, strict=True)
    ]
    for kind in (Document, Prompt, Demonstration, Ranking):
        assert all(f"`{field}`" in text for field in kind.model_fields), "every field is explained"
    assert all(f"`{format}`" in text for format in FORMATS)
