"""What the doctor says of tools: what the stage would, before it runs."""

from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from alignloop.checks.tool_functions import check_tools
from alignloop.params import Params
from alignloop.params.documents import Collection
from alignloop.params.tools import ToolFunction
from alignloop.retrieval.documents import Document
from alignloop.retrieval.index import build
from tests.core.conftest import tokenizer  # noqa: F401
from tests.stages.loop import tiny

SEARCH = "alignloop.tools.search:search"
INDEX = "data/search/main.sqlite"
MAIN = {"main": Collection(folder="documents", licence="MIT", max_refused=0, embedding=None)}


def plan(function: str, documents: Any = None, answer_tokens: int = 300, **settings: Any) -> Params:
    made = [ToolFunction(function=function, network=False, settings=settings)]
    params = tiny()
    tools = params.tools.model_copy(update={"functions": made, "answer_tokens": answer_tokens})
    return params.model_copy(update={"tools": tools, "documents": documents or {}})


def said(params: Params, tokenizer: PreTrainedTokenizerFast, root: Path) -> list[str]:  # noqa: F811
    found = check_tools(params, tokenizer, root)
    return [f"{each.severity}: {each.message}; {each.remedy}" for each in found]


@pytest.mark.parametrize(
    ("function", "settings", "words"),
    [
        ("own_tools.none:x", {}, "error: own_tools.none:x cannot be used: ModuleNotFoundError"),
        (SEARCH, {"index": INDEX}, f"error: {SEARCH}: {INDEX}: there is no such index; build it"),
        (SEARCH, {"index": INDEX, "pasages": 1}, "settings.pasages: there is no such setting; it takes"),
    ],
)
def test_a_tool_that_would_stop_a_stage_is_an_error(
    function: str,
    settings: dict[str, Any],
    words: str,
    tokenizer: PreTrainedTokenizerFast,  # noqa: F811
    tmp_path: Path,
) -> None:
    [found] = said(plan(function, **settings), tokenizer, tmp_path)
    assert words in found
    assert found.startswith("error: ")


def test_an_index_that_a_stage_will_make_is_no_fault_and_its_settings_are_checked_all_the_same(
    tokenizer: PreTrainedTokenizerFast,  # noqa: F811
    tmp_path: Path,
) -> None:
    ok, note = said(plan(SEARCH, MAIN, index=INDEX), tokenizer, tmp_path)
    assert ok == "ok: responses may call search; "
    assert note.startswith("note: the index of documents.main is not there yet: search_index@main makes it")
    [fault] = said(plan(SEARCH, MAIN, index=INDEX, passages=0), tokenizer, tmp_path)
    assert fault.startswith("error: tools.functions: alignloop.tools.search:search: settings.passages: 0 is")
    assert said(tiny(), tokenizer, tmp_path) == []


def test_passages_that_an_answer_has_no_room_for_are_told(
    tokenizer: PreTrainedTokenizerFast,  # noqa: F811
    tmp_path: Path,
) -> None:
    words = " ".join(f"The mill number {number} was built of oak." for number in range(15))
    (tmp_path / "data/search").mkdir(parents=True)
    build(tmp_path / INDEX, [Document(f"d{n}", f"T{n}", words, "MIT") for n in range(3)])
    ok, room = said(plan(SEARCH, MAIN, 700, index=INDEX), tokenizer, tmp_path)
    assert ok.startswith("ok: ")
    assert room.startswith("warning: room: an answer may hold 1 whole passages of a search, as 3 passages")
    assert room.endswith("; raise tools.answer_tokens, or lower the search's passages")
    assert len(said(plan(SEARCH, MAIN, 3000, index=INDEX), tokenizer, tmp_path)) == 1
    [none] = said(plan(SEARCH, MAIN, 60, index=INDEX), tokenizer, tmp_path)
    assert none.startswith("error: tools.answer_tokens: 60 have no room for one passage (3 passages take up")
