"""The gate lets good data through, and names file, line, field, rule, count and remedy of bad data."""

import html
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alignloop import params as parameters
from alignloop.data.validation.expectations import ValidationFailed
from alignloop.errors import AlignloopError
from alignloop.params.binding import bind
from alignloop.stages.validate import validate
from tests.rows import Row, demonstration, document, lines, prompt, ranking, turns

PARAMS = parameters.load(Path(__file__).parents[2] / "params.yaml")


class Data:
    """A suite's files, made of good rows that a test bends in one place."""

    def __init__(self, root: Path, suite: str, rows: dict[str, list[Row]]):
        self.root = root
        self.suite = suite
        self.rows = rows

    def check(self) -> dict[str, Any]:
        for name, rows in self.rows.items():
            lines(self.root / "data" / name, rows)
        places = (self.root / name for name in ("data", "docs", "profile.json", "metrics.json"))
        list(bind(validate, PARAMS)(self.suite, *places))
        return json.loads((self.root / "metrics.json").read_text())

    def message(self, error: type[AlignloopError] = ValidationFailed) -> list[str]:
        with pytest.raises(error) as caught:
            self.check()
        return str(caught.value).replace(f"{self.root}/", "").splitlines()


@pytest.fixture
def raw(tmp_path: Path) -> Data:
    rows = {
        "documents": [document(n) for n in range(3)],
        "prompts": [prompt(n) for n in range(4)],
        "rankings": [ranking(n) for n in range(3)],
    }
    rows["demonstrations"] = [demonstration(n) for n in range(3)]
    return Data(tmp_path, "raw", {f"{name}.jsonl": each for name, each in rows.items()})


@pytest.fixture
def sets(tmp_path: Path) -> Data:
    rows: dict[str, list[Row]] = {"rankings/imported/imported.jsonl": []}
    for start, split in ((0, "train"), (10, "valid"), (20, "test")):
        rows[f"prompts/{split}.jsonl"] = [prompt(start + n) for n in range(3)]
        rows[f"demonstrations/{split}.jsonl"] = [demonstration(start + n) for n in range(3)]
        if split != "test":
            rows[f"corpus/{split}.jsonl"] = [document(start + n) for n in range(3)]
    return Data(tmp_path, "sets", rows)


def test_good_raw_data_passes_and_leaves_a_page_and_counts(raw: Data):
    counts = raw.check()
    assert {name: (each["rows"], each["violations"]) for name, each in counts.items()} == {
        "documents": (3, 0),
        "prompts": (4, 0),
        "demonstrations": (3, 0),
        "rankings": (3, 0),
    }
    assert "Data Docs" in (raw.root / "docs" / "index.html").read_text()
    assert sorted(each.name for each in raw.root.iterdir()) == [
        "data",
        "docs",
        "metrics.json",
        "profile.json",
    ]


def test_the_pages_tell_what_ingest_did_with_each_source_of_a_set(raw: Data):
    kept = {
        "rows": 4000,
        "kept": 3997,
        "refused": 3,
        "changed": 1,
        "documents": 0,
        "prompts": 3997,
        "demonstrations": 0,
        "rankings": 0,
    }
    told = {
        "refused for": {"an empty line": {"records": 3, "lines": [2, 5]}},
        "changed in": {"marks taken out": 1},
    }
    source = {
        "source": "<b>a*b.jsonl",
        "format": "trl",
        "licence": "MIT",
        "sha256": "c0ffee" * 10,
        **kept,
        **told,
    }
    (raw.root / "data").mkdir()
    (raw.root / "data" / "sources.json").write_text(json.dumps([source]))
    raw.check()
    page = (raw.root / "docs" / "expectations" / "prompts.html").read_text()
    words = html.unescape(re.sub(r"</?(p|li|ul|strong|em)[^>]*>|\n", "", page))
    assert (
        "<b>a*b.jsonl (trl, licence MIT, SHA-256 c0ffeec0ffeec0ff…): 4,000 rows, 3,997 kept, 3 refused, "
        "1 changed" in words
    )
    assert "refused 3: an empty line (line 2, 5, …)" in words
    assert "changed 1: marks taken out" in words
    assert "<b>a*b.jsonl" not in page, "what a source is called is text"


def test_all_violations_come_in_one_message_with_all_there_is_to_know(raw: Data):
    raw.rows["prompts.jsonl"] = [prompt(n, source=n) for n in range(7)]
    raw.rows["rankings.jsonl"][2]["ranks"] = [1, 1, 3]
    assert raw.message() == [
        "data/prompts.jsonl:1, 2, 3, 4, 5, …: source: breaks the rule 'is a string' in 7 of 7 rows "
        "(line 1: 0); "
        "correct the lines (data/README.md shows a Prompt)",
        "data/rankings.jsonl:3: ranks: breaks the rule 'is a weak order of the responses' in 1 of 3 "
        "rows (line 3: 1 1 3 of 3); "
        "rank every response, 1 is the best, ties share a rank",
        "2 violations; docs/index.html shows them",
    ]
    counts = json.loads((raw.root / "metrics.json").read_text())
    assert {name: each["violations"] for name, each in counts.items()} == {
        "documents": 0,
        "prompts": 1,
        "demonstrations": 0,
        "rankings": 1,
    }
    assert (raw.root / "docs" / "index.html").exists()


def test_clean_sets_pass_and_that_no_rankings_were_imported_is_no_fault(sets: Data):
    assert {name: each["rows"] for name, each in sets.check().items()} == {
        "prompts": 9,
        "demonstrations": 9,
        "corpus": 6,
    }


def test_a_prompt_or_a_user_in_two_splits_is_named_in_both_whatever_the_set_and_the_typing(sets: Data):
    sets.rows["prompts/test.jsonl"][0]["messages"] = turns("what  IS 1?")
    sets.rows["demonstrations/train.jsonl"][2]["messages"] = turns("What is 21?", "Twenty-one.")
    sets.rows["demonstrations/test.jsonl"][2]["user"] = "user-11"
    *violations, _ = sets.message()
    rule = "breaks the rule 'is in one split' in 1 of 3 rows"
    assert [violation.split("; ")[0].removeprefix("data/") for violation in violations] == [
        f"prompts/train.jsonl:2: prompt: {rule} (line 2: test, train)",
        f"prompts/test.jsonl:1, 2: prompt: {rule.replace('1 of', '2 of')} (line 1: test, train)",
        f"prompts/valid.jsonl:2: user: {rule} (line 2: test, valid)",
        f"demonstrations/train.jsonl:3: prompt: {rule} (line 3: test, train)",
        f"demonstrations/valid.jsonl:2: user: {rule} (line 2: test, valid)",
        f"demonstrations/test.jsonl:3: user: {rule} (line 3: test, valid)",
    ]
    assert all(
        violation.endswith("run the stage `prepare`, which splits by user and keeps a prompt in one split")
        for violation in violations
    )


def test_personal_data_is_seen_in_every_set_also_in_answers_that_people_wrote(sets: Data):
    leak = "Write to ann@example.org"
    sets.rows["corpus/valid.jsonl"][1]["text"] = leak
    sets.rows["demonstrations/train.jsonl"][0]["messages"] = turns("Whom?", leak)
    sets.rows["rankings/imported/imported.jsonl"] = [ranking(0, responses=[leak, "b", "c"], round="pilot")]
    *violations, _ = sets.message()
    assert [violation.split(" in ")[0].removeprefix("data/") for violation in violations] == [
        "demonstrations/train.jsonl:1: content: breaks the rule 'holds no personal data'",
        "corpus/valid.jsonl:2: content: breaks the rule 'holds no personal data'",
        "rankings/imported/imported.jsonl:1: content: breaks the rule 'holds no personal data'",
    ]


def test_a_rounds_rankings_are_checked_together_and_a_leak_between_them_is_seen(tmp_path: Path):
    data = Data(
        tmp_path,
        "rankings",
        {"imported.jsonl": [], "r1.jsonl": [ranking(n) for n in range(3)], "r2.jsonl": [ranking(9)]},
    )
    assert data.check()["rankings"]["rows"] == 4
    data.rows["r2.jsonl"] = [ranking(9, prompt=prompt(1), split="valid")]
    assert [violation.split(": breaks")[0] for violation in data.message()[:-1]] == [
        "data/r1.jsonl:2: prompt",
        "data/r2.jsonl:1: prompt",
        "data/r1.jsonl:2: user",
        "data/r2.jsonl:1: user",
    ]


def test_ten_thousand_rankings_take_seconds(tmp_path: Path):
    data = Data(tmp_path, "rankings", {"r1.jsonl": [ranking(n) for n in range(10_000)]})
    began = time.process_time()
    counts = data.check()["rankings"]
    assert (counts["rows"], counts["violations"]) == (10_000, 0)
    assert time.process_time() - began < 20


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a broken line": (
        lambda path: path.write_text('{"id":1}\n{"id":1,\n'),
        "data/prompts.jsonl:2: broken JSON at column 9",
    ),
    "a pointer": (
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"),
        "data/prompts.jsonl: is a Git LFS pointer",
    ),
    "no object": (
        lambda path: path.write_text("[]\n"),
        "data/prompts.jsonl:1: is not a JSON object; each line must hold one Prompt",
    ),
    "nothing": (
        lambda path: path.write_text(""),
        "data: the prompts are empty; add data to the sources, and run from `ingest`",
    ),
    "no file": (lambda path: path.unlink(), "data/prompts.jsonl: no such file; fetch the file again"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_read_stops_before_any_rule(raw: Data, name: str):
    spoil, says = BAD_FILES[name]
    for file, rows in raw.rows.items():
        lines(raw.root / "data" / file, rows)
    spoil(raw.root / "data" / "prompts.jsonl")
    raw.rows = {}
    assert says in raw.message(AlignloopError)[0]
    assert not (raw.root / "docs").exists()


def test_an_unknown_suite_is_named_with_the_known_ones(raw: Data):
    raw.suite = "none"
    assert raw.message(AlignloopError) == ["there is no suite 'none'; known are raw, sets, rankings"]
