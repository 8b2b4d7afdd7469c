"""Facts that only documents state: right and supported responses are told from others, exactly."""

import json
from pathlib import Path
from random import Random

import pytest
import torch

from alignloop.__main__ import main
from alignloop.data.record_files import read
from alignloop.params.binding import bind
from alignloop.params.ingest import DocumentedFacts
from alignloop.records import Demonstration, Message, Prompt
from alignloop.retrieval.citations import check
from alignloop.scoring.drawn import Drawn, ScoreError
from alignloop.scoring.supported import Supported, cited_passages
from alignloop.stages.ingest import ingest
from alignloop.tools.open_book import OpenBook, cited, make_open_book
from alignloop.world.behaviours import documented
from alignloop.world.gold import judge
from alignloop.world.reading import Reading
from alignloop.world.support import stated_of, supported
from alignloop.world.things import ALL_VALUES, Facts, WorldError
from tests.stages.loop import tiny

PLAN = DocumentedFacts(things=12, prompts=40, demonstrations=120, dialogues=5)
PASSAGE = (
    "[7] The zandor lamp | zandor-lamp | MIT\nThe zandor lamp is red. People use the zandor lamp for baking."
)
KEY = {"behaviour": "documented", "subject": "zandor lamp", "attribute": "colour", "value": "red"}


def asking(key: dict[str, str] | None = None) -> Prompt:
    return Prompt(
        id="p",
        messages=(Message(role="user", content="What colour is the zandor lamp?"),),
        user="u",
        category="documented",
        source="world",
        key=key or KEY,
    )


@pytest.fixture(scope="module")
def book() -> OpenBook:
    return make_open_book(1, PLAN, 20, 0.65)


def test_prompts_ask_for_facts_that_no_demonstration_and_no_dialogue_has(book: OpenBook) -> None:
    assert book == make_open_book(1, PLAN, 20, 0.65)
    assert book.library != make_open_book(2, PLAN, 20, 0.65).library
    asked = {(each.key or {})["subject"] for each in book.prompts}
    told = {call.arguments["query"] for each in book.demonstrations for call in each.calls}
    assert not asked & told
    assert len(asked | told) == len(book.library) == 12
    titles = {each.title.lower() for each in book.library}
    assert {f"the {name}" for name in asked | told} == titles


def test_most_demonstrations_cite_what_they_state_and_some_do_not(book: OpenBook) -> None:
    right = made_up = uncited = 0
    for each in book.demonstrations:
        [call] = each.calls
        text = each.messages[-1].content
        found = check(text, [call.result])
        made_up += bool(found.made_up)
        uncited += not found.cited
        passages = cited_passages(text, [call.result])
        stated = [stated_of(call.arguments["query"], ALL_VALUES, passage) for passage in passages]
        right += Reading(text).asserted(ALL_VALUES) <= set[str]().union(*stated)
    assert 0.5 * 120 < right < 0.8 * 120, "of which 0.65 have no flaw"
    assert made_up > 0 < uncited


def test_gold_passes_true_statements_with_and_without_citations_and_no_false_ones(book: OpenBook) -> None:
    rng = Random(1)
    for prompt in book.prompts:
        good = documented.good(prompt.key or {}, Facts(()), rng)
        assert judge(prompt, good).passed
        assert judge(prompt, cited(good, 3)).score == judge(prompt, good).score
        assert not judge(prompt, documented.false(prompt.key or {}, Facts(()), rng)).passed


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("The zandor lamp is red [7].", 1.0),
        ("It is red [7].", 1.0),
        ("The zandor lamp is red.", 0.0),  # cites nothing
        ("The zandor lamp is red [8].", 0.0),  # cites what was not shown
        ("The zandor lamp is blue [7].", 0.0),  # the passage says something else
        ("The zandor lamp is red and blue [7].", 0.0),
        ("I do not know the zandor lamp [7].", 0.0),  # states nothing
    ],
)
def test_a_response_is_supported_by_what_it_cites_or_not(response: str, expected: float) -> None:
    prompt = asking()
    drawn = Drawn([[1]], [[2]], [prompt], [response], [[PASSAGE]])
    assert torch.equal(Supported("s", [prompt])(drawn), torch.tensor([expected]))


def test_a_passage_about_another_thing_supports_nothing() -> None:
    other = "The zandor bell is red. The zandor lamp smells of salt."
    assert not supported(asking(), "The zandor lamp is red [7].", [other])
    assert supported(
        asking(), "The zandor lamp is red [7].", [other, "The colour of the zandor lamp is red."]
    )


def test_other_prompts_have_no_exact_support() -> None:
    other = asking().model_copy(update={"category": "fact", "id": "f"})
    with pytest.raises(ScoreError, match=r"ppo.score.s: prompt f: ask for no documented fact .* judge"):
        Supported("s", [asking(), other])


def test_ingest_writes_documents_that_the_index_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "forgotten.txt").touch()
    sizes = {"users": 4, "prompts": 3, "demonstrations": 2, "documents": 2, "documented": PLAN.model_dump()}
    values = tiny().ingest.world.model_dump() | sizes
    plan = tiny(ingest={"world": values})
    list(
        bind(ingest, plan)(tmp_path / "sources", tmp_path / "forgotten.txt", tmp_path / "raw", tmp_path / "m")
    )
    told = read(tmp_path / "raw/demonstrations.jsonl", Demonstration)
    assert sum(bool(each.calls) for each in told) == 120
    assert main(["index", "raw/library", "--licence", "unknown-accepted", "--out", "i.sqlite"]) == 0
    assert "12 documents in 12 passages" in capsys.readouterr().out
    lines = (tmp_path / "raw/library/world.jsonl").read_text().splitlines()
    assert {json.loads(line)["licence"] for line in lines} == {"Apache-2.0"}


def test_more_things_than_there_are_names_is_refused() -> None:
    with pytest.raises(WorldError, match=r"ingest.world.documented.things: 289; the built-in"):
        documented.make_documented(1, 289)
