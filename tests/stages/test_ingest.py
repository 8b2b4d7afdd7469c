"""Ingest brings each source into the four files; what it refuses is counted and bounded; nothing is written
when it stops.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from alignloop import params as parameters
from alignloop.data import workers
from alignloop.data.formats import containers
from alignloop.data.record_files import read
from alignloop.errors import AlignloopError
from alignloop.params.binding import bind
from alignloop.records import Demonstration, Document, Origin, Prompt, Ranking
from alignloop.stages.ingest import ingest

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT / ".." / "shared" / "data"
FORGOTTEN = ROOT / "data" / "forgotten.txt"
SMALL = {"facts": 8, "users": 10, "prompts": 40, "demonstrations": 20, "documents": 30}

PAIR = {"chosen": "\n\nHuman: Hi?\n\nAssistant: Hi!", "rejected": "\n\nHuman: Hi?\n\nAssistant: No."}
SAME = {"chosen": PAIR["chosen"], "rejected": PAIR["chosen"]}
PROBLEM = {"question": "1+1?", "answer": "1+1=2\n#### 2"}


def params(**changes: Any) -> parameters.Params:
    raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    raw["ingest"].update(source="files", licences={"*": "MIT"})
    raw["ingest"].update(changes)
    return parameters.parse(raw, "params.yaml")


def drop(root: Path, name: str, *rows: Any) -> None:
    path = root / "sources" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows), encoding="utf-8"
    )


def run(root: Path, **changes: Any) -> dict[str, Any]:
    list(bind(ingest, params(**changes))(root / "sources", FORGOTTEN, root / "raw", root / "ingest.json"))
    return json.loads((root / "ingest.json").read_text(encoding="utf-8"))


def refusal(root: Path, **changes: Any) -> str:
    with pytest.raises(AlignloopError) as caught:
        run(root, **changes)
    assert not (root / "raw").exists(), "nothing half-made is left"
    assert not (root / "ingest.json").exists()
    return str(caught.value).replace(f"{root}/", "")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    drop(tmp_path, "chats/test.jsonl", PAIR)
    drop(tmp_path, "sums.jsonl", PROBLEM)
    drop(tmp_path, "book.txt", "A book.\n")
    drop(tmp_path, ".gitkeep")
    drop(tmp_path, "README.md", "About these files.")
    return tmp_path


def test_files_of_any_format_become_the_four_sets_and_their_prompts_enter_once(root: Path):
    drop(root, "chats/test.jsonl", PAIR, {**PAIR, "rejected": PAIR["rejected"] + " Go."})
    counts = run(root)
    kinds = {"demonstrations": 1, "documents": 1, "prompts": 2, "repeated prompts": 1, "rankings": 2}
    assert counts["total"] == {**kinds, "rows": 4, "records": 4, "kept": 4, "refused": 0, "changed": 0}
    assert counts["licences"] == {"MIT": 4}
    assert list(counts["sources"]) == ["book.txt (text)", "chats/test.jsonl (hh-rlhf)", "sums.jsonl (gsm8k)"]
    assert sorted(path.name for path in (root / "raw").iterdir()) == [
        "demonstrations.jsonl",
        "documents.jsonl",
        "prompts.jsonl",
        "rankings.jsonl",
        "refused.csv",
        "sources.json",
    ]
    prompts = read(root / "raw" / "prompts.jsonl", Prompt)
    rankings = read(root / "raw" / "rankings.jsonl", Ranking)
    [demonstration] = read(root / "raw" / "demonstrations.jsonl", Demonstration)
    assert prompts[0].model_copy(update={"origin": None}) == rankings[0].prompt == rankings[1].prompt
    assert prompts[1].messages == demonstration.messages[:-1]
    assert prompts[1].user == demonstration.user
    assert prompts[0].source == "chats/test.jsonl"


@pytest.mark.parametrize(
    "name",
    [
        "README-first.txt",
        "README_de.md",
        "readme.rst",
        "LICENSE.md.txt",
        "LICENSE-MIT",
        "chats/LICENSES",
        "License.txt",
    ],
)
def test_what_is_called_like_a_readme_or_a_licence_is_left_out_unless_named(root: Path, name: str):
    drop(root, name, "About these files.\n")
    assert list(run(root)["sources"]) == [
        "book.txt (text)",
        "chats/test.jsonl (hh-rlhf)",
        "sums.jsonl (gsm8k)",
    ]
    assert f"{name} (text)" in run(root, formats={name: "text"})["sources"]


def test_the_same_files_give_the_same_bytes_and_a_renamed_file_the_same_ids(root: Path):
    run(root)
    first = {path.name: path.read_bytes() for path in (root / "raw").iterdir()}
    ids = [prompt.id for prompt in read(root / "raw" / "prompts.jsonl", Prompt)]
    run(root)
    assert {path.name: path.read_bytes() for path in (root / "raw").iterdir()} == first
    (root / "sources" / "sums.jsonl").rename(root / "sources" / "more.jsonl")
    run(root)
    assert [prompt.id for prompt in read(root / "raw" / "prompts.jsonl", Prompt)] == ids


def test_what_is_refused_stops_the_stage_unless_params_allow_the_share(root: Path):
    drop(root, "chats/test.jsonl", PAIR, SAME, {**PAIR, "rejected": PAIR["rejected"] + " Go."}, SAME)
    says = (
        "sources/chats/test.jsonl: 2 of 4 records of format hh-rlhf are refused: chosen and rejected "
        "are the same (2: line 2, 4); "
        "correct them, state another format in ingest.formats, or raise ingest.max_refused to 0.5"
    )
    assert refusal(root) == f"{says} (now 0)"
    assert refusal(root, max_refused=0.49) == f"{says} (now 0.49)"
    run(root, max_refused=0.5)


def test_refused_records_are_counted_by_reason(root: Path):
    drop(root, "chats/test.jsonl", PAIR, SAME, SAME)
    counts = run(root, max_refused=0.7)["sources"]["chats/test.jsonl (hh-rlhf)"]
    reason = {"refused: chosen and rejected are the same": 2}
    assert counts == {
        "prompts": 1,
        "rankings": 1,
        "rows": 3,
        "records": 3,
        "kept": 1,
        "refused": 2,
        "changed": 0,
        **reason,
    }
    assert (root / "raw" / "refused.csv").read_text() == (
        "source,line,reason\nchats/test.jsonl,2,chosen and rejected are the "
        "same\nchats/test.jsonl,3,chosen and rejected are the same\n"
    )


def test_a_stated_format_wins_over_the_content_and_skip_leaves_a_file_out(root: Path):
    assert "chosen: Field required" not in str(run(root, formats={"sums.jsonl": "gsm8k"}))
    message = refusal_of(root, formats={"*.jsonl": "gsm8k"})
    assert (
        "sources/chats/test.jsonl: 1 of 1 records of format gsm8k are refused: answer: Field required; "
        "question: Field required (1: line 1)" in message
    )
    counts = run(root, formats={"chats/*": "skip", "README.md": "text"})
    assert list(counts["sources"]) == ["README.md (text)", "book.txt (text)", "sums.jsonl (gsm8k)"]
    assert read(root / "raw" / "rankings.jsonl", Ranking, allow_empty=True) == []


def refusal_of(root: Path, **changes: Any) -> str:
    before = (root / "raw" / "prompts.jsonl").read_bytes()
    with pytest.raises(AlignloopError) as caught:
        run(root, **changes)
    assert (root / "raw" / "prompts.jsonl").read_bytes() == before, "what stood there is kept"
    return str(caught.value).replace(f"{root}/", "")


def test_mistakes_in_the_stated_formats_are_named(root: Path):
    assert (
        "ingest.formats: sums.jsonl: there is no format 'gsm9k'; known are hh-rlhf, open-assistant"
        in refusal(root, formats={"sums.jsonl": "gsm9k"})
    )
    assert "ingest.formats: no file in sources is called sum.jsonl; correct the pattern" in refusal(
        root, formats={"sum.jsonl": "gsm8k"}
    )


def test_sources_without_data_say_what_to_do(tmp_path: Path):
    drop(tmp_path, ".gitkeep")
    message = refusal(tmp_path)
    assert "sources: holds no data" in message
    assert "put files there, or set ingest.source: world" in message


def test_a_file_that_is_unreadable_or_unknown_is_named(root: Path):
    drop(root, "table.csv", "id,text\n")
    assert "sources/table.csv: the file is empty" in refusal(root)
    drop(root, "table.csv", "id,words\n1,a\n")
    assert (
        "sources/table.csv:2: no known format: its first row is an object with 'id', 'words'; name its "
        "format in ingest.formats" in refusal(root)
    )
    drop(root, "table.csv", "version https://git-lfs.github.com/spec/v1\n")
    assert "sources/table.csv: is a Git LFS pointer" in refusal(root)
    drop(root, "table.csv", json.dumps(PROBLEM) + '\n{"question": "cut')
    assert (
        "sources/table.csv: 1 of 2 records of format gsm8k are refused: broken JSON: Unterminated "
        "string starting at (1: line 2)" in refusal(root)
    )


def test_the_world_comes_in_whole_and_without_rankings(tmp_path: Path):
    world = {**yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["ingest"]["world"], **SMALL}
    counts = run(tmp_path, source="world", world=world)
    kept = {"rows": 90, "records": 90, "kept": 90, "refused": 0, "changed": 0}
    assert counts["total"] == {"demonstrations": 20, "documents": 30, "prompts": 40, **kept}
    assert counts["licences"] == {"Apache-2.0": 90}, "the world's data has the project's licence"
    assert len(read(tmp_path / "raw" / "prompts.jsonl", Prompt)) == 40
    documents = read(tmp_path / "raw" / "documents.jsonl", Document)
    assert [document.origin for document in documents] == [Origin(licence="Apache-2.0")] * 30
    assert (tmp_path / "raw" / "rankings.jsonl").read_bytes() == b""


REAL = (
    "preferences/hh-rlhf/harmless-base/test.jsonl.gz",
    "preferences/hh-rlhf/helpful-base/test.jsonl.gz",
    "rankings/open-assistant/en_100_tree.jsonl",
    "demonstrations/gsm8k/train.jsonl",
    "demonstrations/self-instruct/seed_tasks.jsonl",
    "demonstrations/self-instruct/user_oriented_instructions.jsonl",
    "pretraining/tinyshakespeare/input.txt",
)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"the shared sample is not at {SHARED}")
def test_a_real_mixture_comes_in_with_every_record_accounted_for(tmp_path: Path):
    for name in REAL:
        path = tmp_path / "sources" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to((SHARED / name).resolve())
    total = run(tmp_path, max_refused=0.02)["total"]
    assert total == {
        "demonstrations": 1300 + 148 + 209,
        "documents": 2515,
        "prompts": 1657 + 1849 + 1854 + 341,
        "repeated prompts": 1 + 156,
        "rankings": 1850 + 1854 + 156,
        "rows": 1300 + 148 + 209 + 2515 + 1855 + 1866 + 74,
        "records": 1300 + 148 + 209 + 2515 + 1855 + 1866 + 341 + 156 + 2,
        "kept": 1300 + 148 + 209 + 2515 + 1850 + 1854 + 341 + 156,
        "refused": 5 + 12 + 2,
        "changed": 1284,
        "changed: the calculator's marks taken out": 1284,
        "refused: a speaker talks twice in a row": 5,
        "refused: an empty turn before the last": 1,
        "refused: the transcripts part before the last turn": 11,
        "refused: two or more answers, not all of them ranked": 2,
    }


def test_workers_change_no_byte(root: Path, monkeypatch: pytest.MonkeyPatch):
    def asked(number: int) -> dict[str, Any]:
        said = [{"role": "user", "content": f"Question {number % 30}?"}]
        return {"id": f"p-{number % 25}", "messages": said, "user": f"user-{number % 7}", "source": "s"}

    by = {"labeler": "l", "kind": "person", "policy": "p", "round": "imported"}
    ranked = [
        {"id": f"r-{n % 50}", "prompt": asked(n), "responses": ["a", "b"], "ranks": [1, 2], **by}
        for n in range(60)
    ]
    drop(root, "asked.jsonl", *(asked(number) for number in range(40)), "no JSON\n", {**asked(3), "user": ""})
    drop(root, "ranked.jsonl", *ranked, {**ranked[0], "ranks": [1, 3]})

    def made() -> tuple[Any, dict[str, bytes]]:
        counts = run(root, max_refused=0.5)
        return counts, {file.name: file.read_bytes() for file in (root / "raw").iterdir()}

    alone = made()
    monkeypatch.setattr(containers, "PIECE", 1000)
    monkeypatch.setattr(workers, "ALONE", 2)
    monkeypatch.setattr(workers.os, "sched_getaffinity", lambda _: {0, 1})
    assert made() == alone
    total = alone[0]["total"]
    assert (total["refused"], total["changed"], total["repeated prompts"]) == (3, 25, 40), (
        "all that the order decides was at work"
    )
