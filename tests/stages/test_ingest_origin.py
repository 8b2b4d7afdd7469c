"""Every record says where it was read and under which licence; a source without one, or of another format,
is refused.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from alignloop.data.record_files import read
from alignloop.data.set_statistics import size_of
from alignloop.params import ParamsError
from alignloop.records import Demonstration, Document, Prompt, Ranking
from tests.stages.test_ingest import PAIR, PROBLEM, drop, params, refusal, root, run

__all__ = ["root"]  # the fixture


def origins(path: Path, kind: Any) -> list[Any]:
    return [record.origin for record in read(path, kind)]


def test_every_record_carries_licence_hash_and_line_and_a_derived_prompt_those_of_what_it_was_made_of(
    root: Path,
):
    drop(root, "sums.jsonl", PROBLEM, {**PROBLEM, "question": "2+0?"})
    run(
        root,
        licences={"sums*": "mit", "book.txt": "cc-by-4.0 and LicenseRef-Gutenberg", "*": "unknown-accepted"},
    )
    raw, sources = root / "raw", root / "sources"
    found = origins(raw / "demonstrations.jsonl", Demonstration)
    assert [(each.licence, each.line) for each in found] == [("MIT", 1), ("MIT", 2)]
    assert {each.sha256 for each in found} == {
        hashlib.sha256((sources / "sums.jsonl").read_bytes()).hexdigest()
    }
    assert [each.licence for each in origins(raw / "documents.jsonl", Document)] == [
        "CC-BY-4.0 AND LicenseRef-Gutenberg"
    ]
    [ranking] = read(raw / "rankings.jsonl", Ranking)
    assert ranking.origin is not None
    assert (ranking.origin.licence, ranking.origin.line) == ("unknown-accepted", 1)
    prompts = read(raw / "prompts.jsonl", Prompt)
    assert [prompt.origin for prompt in prompts] == [ranking.origin, *found]
    counts = json.loads((root / "ingest.json").read_text())
    assert counts["licences"] == {"CC-BY-4.0 AND LicenseRef-Gutenberg": 1, "MIT": 2, "unknown-accepted": 1}


def test_a_source_without_a_licence_is_refused_with_the_line_to_write(root: Path):
    message = refusal(root, licences={"book.txt": "MIT"})
    assert message.split("\n") == [
        f"sources/{name}: no licence is stated; write its SPDX expression in params.yaml, "
        f'ingest.licences: {{"{name}": MIT}}, or unknown-accepted to accept it without one'
        for name in ("chats/test.jsonl", "sums.jsonl")
    ]
    assert "book.txt: no licence" not in message
    run(root, licences={"*": "unknown-accepted"})


def test_documents_get_the_domain_of_their_file_unless_they_state_one(root: Path):
    drop(root, "code/a.txt", "x = 1\n")
    drop(
        root,
        "own.jsonl",
        *({"id": f"d{n}", "text": "A.", "source": "s", **of} for n, of in enumerate(({}, {"domain": "law"}))),
    )
    run(root, domains={"code/*": "code", "own.jsonl": "prose", "sums.jsonl": "sums"})
    found = {each.source: each.domain for each in read(root / "raw" / "documents.jsonl", Document)[:2]}
    assert found == {"book.txt": None, "code/a.txt": "code"}
    assert [each.domain for each in read(root / "raw" / "documents.jsonl", Document)[2:]] == ["prose", "law"]
    assert "domain" not in (root / "raw" / "demonstrations.jsonl").read_text()


def test_a_domain_for_no_file_and_a_name_that_is_none_are_refused(root: Path):
    assert "ingest.domains: no file in sources is called *.py" in refusal(root, domains={"*.py": "code"})
    with pytest.raises(ParamsError, match=r"ingest\.domains\.\*: .*pattern"):
        params(domains={"*": "My code"})


def test_a_stated_licence_wins_over_an_accepted_unknown_one_whatever_their_order(root: Path):
    run(root, licences={"*": "unknown-accepted", "sums.jsonl": "MIT"})
    assert [each.licence for each in origins(root / "raw" / "demonstrations.jsonl", Demonstration)] == ["MIT"]


def test_what_is_no_licence_and_a_pattern_that_fits_nothing_are_named(root: Path):
    assert (
        "ingest.licences: *: 'free' is not an SPDX expression; write one (https://spdx.org/licenses), "
        "LicenseRef-NAME" in refusal(root, licences={"*": "free"})
    )
    assert "ingest.licences: no file in sources is called cook.txt; correct the pattern" in refusal(
        root, licences={"cook.txt": "MIT", "*": "MIT"}
    )
    assert "ingest.columns: no file in sources is called t.csv" in refusal(
        root, columns={"t.csv": {"prompt": "q"}}
    )


def test_a_format_that_is_stated_wrongly_is_refused_with_what_was_seen_however_much_may_be_refused(
    root: Path,
):
    for bound in (0.0, 1.0):
        message = refusal(root, formats={"chats/test.jsonl": "alpaca"}, max_refused=bound)
        assert (
            "sources/chats/test.jsonl: 1 of 1 records of format alpaca are refused: instruction: Field "
            "required; output: Field required" in message
        )
        assert (
            "; the first row is an object with 'chosen', 'rejected', which looks like hh-rlhf; correct "
            "it, or state its format" in message
        )


def test_a_table_comes_in_through_its_mapping_and_states_no_format_beside_it(root: Path):
    drop(root, "table.csv", "question,good,bad\nHi?,Hi!,No.\n")
    mapping = {"table.csv": {"prompt": "question", "responses": ["good", "bad"], "kind": "person"}}
    assert run(root, columns=mapping)["sources"]["table.csv (columns)"]["rankings"] == 1
    (root / "raw").rename(root / "kept")
    (root / "ingest.json").unlink()
    assert "has a format in ingest.formats and a mapping in ingest.columns" in refusal(
        root, columns=mapping, formats={"*.csv": "tulu"}
    )


def test_a_saved_dataset_is_one_source_with_the_hash_of_all_its_files(root: Path):
    Dataset.from_list([{"instruction": "Hi?", "output": "Hi!"}]).save_to_disk(
        root / "sources" / "hub" / "alpaca"
    )
    counts = run(root)["sources"]
    assert list(counts) == [
        "book.txt (text)",
        "chats/test.jsonl (hh-rlhf)",
        "hub/alpaca (alpaca)",
        "sums.jsonl (gsm8k)",
    ]
    [first] = [
        each
        for each in read(root / "raw" / "demonstrations.jsonl", Demonstration)
        if each.source == "hub/alpaca"
    ]
    assert first.origin is not None
    (root / "sources" / "hub" / "alpaca" / "more.txt").write_text("x")
    run(root)
    [second] = [
        each
        for each in read(root / "raw" / "demonstrations.jsonl", Demonstration)
        if each.source == "hub/alpaca"
    ]
    assert second.origin is not None
    assert first.origin.sha256 != second.origin.sha256


def test_a_record_met_again_gets_an_id_of_its_own_and_that_is_told(root: Path):
    drop(root, "sums.jsonl", PROBLEM, PROBLEM, PROBLEM)
    counts = run(root)["sources"]["sums.jsonl (gsm8k)"]
    assert (
        counts["kept"],
        counts["changed"],
        counts["changed: repeated id, a number appended"],
    ) == (
        3,
        2,
        2,
    )
    ids = [each.id for each in read(root / "raw" / "demonstrations.jsonl", Demonstration)]
    assert ids == [ids[0], f"{ids[0]}-2", f"{ids[0]}-3"]
    assert counts["prompts"] == 1


def test_very_many_reasons_are_told_together(root: Path):
    drop(
        root,
        "own.jsonl",
        *({"id": "p", "messages": [], "user": "u", "source": "s", f"field{'x' * n}": 1} for n in range(60)),
    )
    message = refusal(root)
    assert "other reasons (10: line 51, 52, 53, 54, 55, …)" in message


def test_sources_json_tells_each_source_with_the_first_lines_of_what_it_refused(root: Path):
    drop(root, "chats/test.jsonl", *[PAIR, *[{"chosen": "a", "rejected": "b"}] * 7])
    run(root, max_refused=0.9)
    told = {each["source"]: each for each in json.loads((root / "raw" / "sources.json").read_text())}
    assert told["chats/test.jsonl"]["refused for"] == {
        "the transcripts share no prompt": {"records": 7, "lines": [2, 3, 4, 5, 6]}
    }
    assert told["chats/test.jsonl"]["licence"] == "MIT"
    assert len((root / "raw" / "refused.csv").read_text().splitlines()) == 8


def test_licences_are_told_wherever_a_data_set_is(root: Path):
    run(root, licences={"book.txt": "CC-BY-4.0", "*": "unknown-accepted"})
    size = size_of(root / "raw")
    assert size["licences"] == ["CC-BY-4.0", "unknown-accepted"]
