"""Every fault of a record violates its own rule and no other; valid values at the bounds violate none."""

import html
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from alignloop import params as parameters
from alignloop.data.validation import record_tables
from alignloop.data.validation.expectations import (
    Check,
    content_rules,
    run_checks,
    schema_rules,
    training_rules,
)
from alignloop.records import Demonstration, Document, Prompt, Ranking, Record
from tests.rows import Row, demonstration, document, lines, prompt, ranking, turns

PARAMS = parameters.load(Path(__file__).parents[3] / "params.yaml")


def violated(kind: type[Record], rows: list[Row], root: Path) -> dict[int, set[tuple[str, str]]]:
    """The rules, as (field, description), that each line violates when all rules are checked at once."""
    rules = [
        *schema_rules(kind),
        *content_rules(kind, PARAMS.validate_),
        *training_rules(kind, PARAMS.validate_),
    ]
    rows_table = record_tables.record_table(kind, {lines(root / "rows.jsonl", rows): None})
    record_tables.mark_leaks([rows_table])
    found: dict[int, set[tuple[str, str]]] = {line: set() for line in range(1, len(rows) + 1)}
    for _, violations in run_checks("faults", [Check("rows", rows_table, rules)], root / "docs"):
        for violation in violations:
            for line in violation.lines:
                found[line].add((violation.rule.field, violation.rule.description))
    return found


def without(row: Row, key: str) -> Row:
    return {name: value for name, value in row.items() if name != key}


ROLES = ("messages", "has roles that alternate, the user's first and the user's last")
PROMPTS: dict[str, tuple[Row, tuple[str, str] | None]] = {
    "nothing": (prompt(0), None),
    "a system message, several turns": (
        prompt(1, messages=[{"role": "system", "content": "Be kind."}, *turns("Hi?", "Hi!", "And 1?")]),
        None,
    ),
    "no id": (without(prompt(2), "id"), ("id", "is present")),
    "a number as id": (prompt(3, id=3), ("id", "is a string")),
    "a list as id": (prompt(4, id=["p4"]), ("id", "is a string")),
    "a long id": (prompt(5, id="p" * 201), ("id", "is 1 to 200 characters long")),
    "an empty id": (prompt(6, id=""), ("id", "is 1 to 200 characters long")),
    "an id that another has": (prompt(7, id="p8"), ("id", "is unique")),
    "an id that one before has": (prompt(8), ("id", "is unique")),
    "a null for a source": (prompt(9, source=None), ("source", "is present")),
    "a truth for a user": (prompt(10, user=True), ("user", "is a string")),
    "an unknown field": (prompt(11, nots=1), ("unknown fields", "do not exist")),
    "a text for messages": (prompt(12, messages="Hi?"), ("messages", "fits its schema")),
    "an unknown role": (
        prompt(13, messages=[{"role": "human", "content": "13?"}]),
        ("messages", "fits its schema"),
    ),
    "a key that is no object": (prompt(14, key=3), ("key", "fits its schema")),
    "an empty turn": (prompt(15, messages=turns("15", " \n", "?")), ("messages", "is not empty")),
    "an answer at the end": (prompt(16, messages=turns("16?", "Hi!")), ROLES),
    "a speaker who talks twice": (prompt(17, messages=turns("17?") + turns("Hi?")), ROLES),
    "no turns": (prompt(18, messages=[]), ROLES),
    "the assistant first": (prompt(19, messages=turns("19?", "a", "b")[1:]), ROLES),
    "4,001 characters": (
        prompt(20, messages=turns("2" * 4001)),
        ("messages", "fits the model's context (4000 characters)"),
    ),
    "4,000 characters": (prompt(21, messages=turns("2" * 4000)), None),
    "an address": (
        prompt(22, messages=turns("Write to ann@example.org")),
        ("content", "holds no personal data"),
    ),
    "an address as user": (prompt(23, user="ann@example.org"), ("content", "holds no personal data")),
    "a placeholder": (prompt(24, messages=turns("Write to <EMAIL>")), None),
}


def test_each_fault_of_a_prompt_violates_its_own_rule_and_no_other(tmp_path: Path):
    found = violated(Prompt, [row for row, _ in PROMPTS.values()], tmp_path)
    assert dict(zip(PROMPTS, found.values(), strict=True)) == {
        name: {rule} if rule else set() for name, (_, rule) in PROMPTS.items()
    }


ORDER = ("ranks", "is a weak order of the responses")
RESPONSES = ("responses", "holds 2 to 9 responses")
RANKINGS: dict[str, tuple[Row, set[tuple[str, str]]]] = {
    "ties and an empty answer": (ranking(0), set()),
    "a gap in the ranks": (ranking(1, ranks=[1, 3, 3]), {ORDER}),
    "ranks from zero": (ranking(2, ranks=[0, 1, 2]), {ORDER}),
    "a rank too few": (ranking(3, ranks=[1, 2]), {ORDER}),
    "a rank that is a truth": (ranking(4, ranks=[True, 2, 3]), {ORDER, ("ranks", "fits its schema")}),
    "one answer": (ranking(5, responses=["a"], ranks=[1]), {RESPONSES, ("responses", "fits its schema")}),
    "ten answers": (ranking(6, responses=list("abcdefghij"), ranks=[1] * 10), {RESPONSES}),
    "nine answers": (ranking(7, responses=list("abcdefghi"), ranks=[1] * 9), set()),
    "an answer that is a truth": (ranking(8, responses=["a", True, "c"]), {("responses", "fits its schema")}),
    "an unknown labeler": (ranking(9, labeler="mallory"), {("labeler", "is known")}),
    "an unknown kind": (ranking(10, kind="oracle"), {("kind", "is one of person, panel, judge")}),
    "an answer at the prompt's end": (ranking(11, prompt=prompt(11, messages=turns("11?", "b"))), {ROLES}),
    "a prompt without a user": (
        ranking(12, prompt=without(prompt(12), "user")),
        {("prompt", "fits its schema")},
    ),
    "a prompt that is a text": (ranking(13, prompt="13?"), {("prompt", "fits its schema"), ROLES}),
    "a long answer that a person wrote": (
        ranking(14, responses=["a" * 4000, "b", "c"], round="imported"),
        {("messages", "fits the model's context (4000 characters)")},
    ),
    "a long answer of a model": (ranking(40, responses=["a" * 4000, "b", "c"]), set()),
    "a number a model made up": (ranking(15, responses=["Call (415) 555-0123", "b", "c"]), set()),
    "a number a person wrote": (
        ranking(16, responses=["Call (415) 555-0123", "b", "c"], round="imported"),
        {("content", "holds no personal data")},
    ),
    "an empty turn": (ranking(17, prompt=prompt(17, messages=turns(" "))), {("messages", "is not empty")}),
    "no ranks": (without(ranking(18), "ranks"), {("ranks", "fits its schema"), ORDER}),
}


def test_each_fault_of_a_ranking_is_found(tmp_path: Path):
    found = violated(Ranking, [row for row, _ in RANKINGS.values()], tmp_path)
    assert dict(zip(RANKINGS, found.values(), strict=True)) == {
        name: rules for name, (_, rules) in RANKINGS.items()
    }


def test_a_document_is_a_text_or_a_dialogue(tmp_path: Path):
    fits, roles = ("text", "fits its schema"), ("messages", "has roles that alternate, the user's first")
    dialogue = without(document(2, messages=turns("Hi?", "Hi!")), "text")
    rows = [
        document(0),
        without(document(1), "text"),
        dialogue,
        {**dialogue, "id": "t3", "text": "x"},
        {**dialogue, "id": "t4", "messages": turns("Hi?", "Hi!", "Thanks.")},
        {**dialogue, "id": "t5", "messages": turns("Hi?", "Hi!")[::-1]},
    ]
    rows += [document(6, text="\n"), document(7, text=7)]
    assert list(violated(Document, rows, tmp_path).values()) == [
        set(), {fits}, set(), {fits}, set(), {roles}, {("text", "is not empty")}, {fits},
    ]  # fmt: skip


def test_a_demonstration_ends_with_a_response_by_a_known_labeler(tmp_path: Path):
    rows = [demonstration(0), demonstration(1, messages=turns("1?")), demonstration(2, labeler="mallory")]
    ends = ("messages", "has roles that alternate, the user's first and the assistant's last")
    assert list(violated(Demonstration, rows, tmp_path).values()) == [
        set(),
        {ends},
        {("labeler", "is known")},
    ]


def test_repeats_up_to_the_bound_pass_and_more_are_violations(tmp_path: Path):
    few, many = (
        [prompt(n, messages=turns(text)) for n, text in enumerate(texts)] for texts in ("aabb", "aabbb")
    )
    assert set().union(*violated(Prompt, few, tmp_path).values()) == set()
    repeats = {("content", "has at least 50% distinct values")}
    assert list(violated(Prompt, many, tmp_path).values()) == [set(), repeats, set(), repeats, repeats]


def test_the_pages_load_nothing_and_describe_every_rule(tmp_path: Path):
    rows = record_tables.record_table(Prompt, {lines(tmp_path / "rows.jsonl", [prompt(1)]): None})
    record_tables.mark_leaks([rows])
    rules = [*schema_rules(Prompt), *training_rules(Prompt, PARAMS.validate_)]
    list(run_checks("pages", [Check("prompts", rows, rules)], tmp_path / "docs"))
    written = {page: page.read_text(encoding="utf-8") for page in (tmp_path / "docs").rglob("*.html")}
    assert len(written) == 3
    for page, text in written.items():
        assert not re.findall(r"<(?:link|script|img|iframe)\b[^>]*https?://|url\(.?https?://", text), page
    index = written[tmp_path / "docs" / "index.html"]
    assert "<td>prompts</td><td>1</td>" in index
    assert "✓ all met" in index
    links = re.findall(r'href="([^"]+)"', index)
    assert len(links) == 2, "the results, and the rules"
    assert all((tmp_path / "docs" / link).exists() for link in links)
    [result] = [text for page, text in written.items() if "validations" in page.parts]
    assert all(f"{rule.field} {rule.description}" in html.unescape(result) for rule in rules)


def shown(kind: type[Record], rows: list[Row], root: Path) -> dict[str, str]:
    """What the page of a set shows for each rule: its sentence, and the value beside it."""
    table = record_tables.record_table(kind, {lines(root / "rows.jsonl", rows): "train"})
    record_tables.mark_leaks([table])
    bounds = PARAMS.validate_
    rules = [*schema_rules(kind), *content_rules(kind, bounds), *training_rules(kind, bounds)]
    list(run_checks("shown", [Check("rows", table, rules)], root / "docs"))
    [page] = [page for page in (root / "docs").rglob("*.html") if "validations" in page.parts]
    text = " ".join(html.unescape(page.read_text(encoding="utf-8")).split())
    told = {}
    for rule in rules:
        sentence = f"{rule.field} {rule.description}"
        cell = re.search(rf'<td id="(\S+)-2" ><div [^>]*> <span > {re.escape(sentence)} </span>', text)
        value = cell and re.search(rf'<td id="{cell[1]}-3" ><div [^>]*>(.*?)</div></td>', text)
        assert value, sentence
        told[sentence] = value[1].strip()
    return told


def dialogue(number: int) -> Row:
    return without(document(number), "text") | {"messages": turns(f"Who is {number}?", "A number.")}


GOOD: dict[type[Record], Callable[[int], Row]] = {
    Prompt: prompt,
    Demonstration: demonstration,
    Document: dialogue,
    Ranking: ranking,
}


@pytest.mark.parametrize("kind", GOOD, ids=lambda kind: kind.__name__)
def test_every_rule_shows_the_quantity_that_its_sentence_is_about(kind: type[Record], tmp_path: Path):
    told = shown(kind, [GOOD[kind](number) for number in range(4)], tmp_path)
    quantity = {"is present": "100% not null", "% distinct values": "100.00% distinct"}
    for sentence, value in told.items():
        expected = next((words for end, words in quantity.items() if sentence.endswith(end)), "0% unexpected")
        assert value == expected, sentence


def test_the_values_of_violated_rules_fit_their_sentences_too(tmp_path: Path):
    repeated = [prompt(number) for number in (1, 2)] * 3
    rows = [prompt(0, messages=turns("Write to ann@example.org")), prompt(3, nots=1), *repeated]
    told = shown(Prompt, rows, tmp_path)
    assert told["content holds no personal data"] == "12.5% unexpected", "1 of 8 rows"
    assert told["unknown fields do not exist"] == "12.5% unexpected"
    assert told["content has at least 50% distinct values"] == "50.00% distinct", "4 of 8"
