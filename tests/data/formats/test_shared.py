"""The real data beside this repository is imported with exactly the counts that its README states."""

import json
from collections import Counter
from pathlib import Path

import pytest

from alignloop.data.formats import FORMATS
from alignloop.data.formats.importer import Changed, Refused
from alignloop.data.formats.sniffing import sniff
from alignloop.records import Document

SHARED = Path(__file__).resolve().parents[3] / ".." / "shared" / "data"
LATER = "later turns left out: no answer stands between them"
MARKS, CALLS = "the calculator's marks taken out", "calls of an API left out"
PARTED = "the transcripts part before the last turn"

REAL: dict[str, tuple[int, dict[str, int]]] = {  # rows, as the README states them; what they become
    "preferences/hh-rlhf/harmless-base/test.jsonl.gz": (1855, {"Ranking": 1850, PARTED: 5}),
    "preferences/hh-rlhf/helpful-base/test.jsonl.gz": (
        1866,
        {"Ranking": 1854, PARTED: 6, "a speaker talks twice in a row": 5, "an empty turn before the last": 1},
    ),
    "comparisons/pandalm/testset-v1.json": (
        473,
        {
            "Ranking": 3 * 467,
            "response1: Input should be a valid string": 4,
            "response2: Input should be a valid string": 2,
        },
    ),
    "comparisons/tulu-1/eval_annotations_tulu_1.csv": (
        250,
        {"Ranking": 250, "a slight preference counts as one": 93},
    ),
    "rankings/open-assistant/en_100_tree.jsonl": (
        74,
        {"Prompt": 341, "Ranking": 156, "two or more answers, not all of them ranked": 2},
    ),
    "rankings/squality/human-eval/all-responses.jsonl": (
        8,
        {
            "Ranking": 6 * 5 * 3,
            "its story and question stand in no SQuALITY file among the sources": 2 * 5 * 3,
        },
    ),
    "demonstrations/squality/v1-3/txt/test.jsonl": (6, {"Demonstration": 6 * 5 * 4}),
    "demonstrations/gsm8k/train.jsonl": (1300, {"Demonstration": 1300, MARKS: 1284}),
    "demonstrations/oasst1-via-qlora/oa_questions.jsonl": (182, {"Demonstration": 182}),
    "demonstrations/self-instruct/user_oriented_instructions.jsonl": (209, {"Demonstration": 209}),
    "demonstrations/self-instruct/seed_tasks.jsonl": (148, {"Demonstration": 148}),
    "demonstrations/taskmaster-4/data_07.json": (30, {"Demonstration": 30, CALLS: 27}),
    "prompts/fastchat/mt_bench/question.jsonl": (64, {"Prompt": 64, LATER: 64}),
    "prompts/fastchat/vicuna_bench/question.jsonl": (64, {"Prompt": 64}),
    "prompts/open-assistant/prompt_lottery_en_250_text.jsonl": (199, {"Prompt": 199}),
    "prompts/arena-hard-v0.1/question.jsonl": (398, {"Prompt": 398}),
    "prompts/arena-hard-v2.0/question.jsonl": (170, {"Prompt": 170}),
    "prompts/gsm8k/test.jsonl": (1050, {"Demonstration": 1050, MARKS: 1034}),
    "pretraining/tinyshakespeare/input.txt": (1, {"Document": 2515}),
}


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"the shared sample is not at {SHARED}")
def test_every_file_is_listed_here_with_the_counts_of_the_readme():
    stated = {
        each["path"]: each["records"]
        for each in json.loads((SHARED / "MANIFEST.json").read_text(encoding="utf-8"))
    }
    assert {name: rows for name, (rows, _) in REAL.items()} == stated
    readme = (SHARED / "README.md").read_text(encoding="utf-8")
    assert all(f"| {name} |" in readme and f"| {rows} |" in readme for name, rows in stated.items())


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"the shared sample is not at {SHARED}")
@pytest.mark.parametrize("name", REAL)
def test_real_files_give_exactly_the_expected_records_and_refusals(name: str):
    path, (rows, expected) = SHARED / name, REAL[name]
    counts = Counter[str]()
    lines, ids = set[int](), list[str]()
    for line, item in FORMATS[sniff(path)].read(path, name):
        lines.add(line)
        if isinstance(item, Refused):
            counts[item.reason] += 1
            continue
        counts.update(item.changes if isinstance(item, Changed) else ())
        record = item.record if isinstance(item, Changed) else item
        counts[type(record).__name__] += 1
        ids.append(record.id)  # type: ignore[attr-defined]
    assert counts == expected
    assert len(ids) == len(set(ids))
    assert len(lines) == rows or path.suffix == ".txt"


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"the shared sample is not at {SHARED}")
def test_shakespeare_is_imported_completely():
    path = SHARED / "pretraining/tinyshakespeare/input.txt"
    documents = [item for _, item in FORMATS["text"].read(path, "input.txt") if isinstance(item, Document)]
    assert "".join("".join((document.text or "").split()) for document in documents) == "".join(
        path.read_text().split()
    )
