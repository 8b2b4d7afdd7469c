"""The index of a collection as a stage: who depends on it, what it counts, and answers after a change."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import PreTrainedTokenizerFast

from alignloop.core.tokens import encode_response
from alignloop.data.forgotten import ForgottenUsers
from alignloop.params import Params
from alignloop.params.binding import bind
from alignloop.params.tools import ToolFunction
from alignloop.progress import Progress
from alignloop.retrieval.index import IndexProblem, documents_in, opened
from alignloop.retrieval.vectors import content_of
from alignloop.stages.search_index import search_index
from alignloop.tools.toolbox import Toolbox, open_tools
from tests.core.conftest import tokenizer  # noqa: F401
from tests.stages.loop import PROJECT, tiny

PLAN = {"folder": "documents", "licence": "MIT", "max_refused": 0, "embedding": None}


def run(params: Params) -> list[Progress]:
    places = [Path(name) for name in ("documents", "forgotten.txt", "search/main.sqlite", "main.json")]
    return list(bind(search_index, params)("main", *places))


def said(tools: Toolbox, tokenizer: PreTrainedTokenizerFast, query: str) -> str:  # noqa: F811
    call = encode_response(tokenizer, tools.form.written("search", {"query": query}))
    [answer] = tools.answer([call])
    return tools.search_answers([*call, *answer.ids, *encode_response(tokenizer, "So.")])[0]


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.chdir(tmp_path)
    Path("search").mkdir()
    Path("forgotten.txt").touch()
    Path("documents").mkdir()
    Path("documents/mill.txt").write_text("The mill was built in 1820.")
    lines = [{"id": "ada", "text": "Ada lives at the sea.", "user": "ada"}]
    Path("documents/people.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return tiny(documents={"main": PLAN})


def test_a_changed_document_is_what_is_answered_and_a_forgotten_users_is_gone(
    params: Params,
    tokenizer: PreTrainedTokenizerFast,  # noqa: F811
) -> None:
    assert run(params)[-1].metrics["documents"] == 2
    assert json.loads(Path("main.json").read_text())["licences"] == {"MIT": 2}
    settings = {"index": "search/main.sqlite", "passages": 1}
    function = ToolFunction(function="alignloop.tools.search:search", network=False, settings=settings)
    plan = params.tools.model_copy(update={"functions": [function], "answer_tokens": 300})
    with open_tools(plan, tokenizer) as tools:
        assert tools
        assert "built in 1820." in said(tools, tokenizer, "when was the mill built")
        before = Path("search/main.sqlite").read_bytes()
        Path("documents/mill.txt").write_text("The mill was built in 1741.")
        ForgottenUsers(Path("forgotten.txt")).add("ada")
        assert run(params)[-1].note == "left out: 1 forgotten"
        after = said(tools, tokenizer, "when was the mill built")
        assert "built in 1741." in after
        assert "1820" not in after
    assert not documents_in(Path("search/main.sqlite"), {"ada"})
    Path("documents/mill.txt").write_text("The mill was built in 1820.")
    run(params)
    with opened(Path("search/main.sqlite")) as index:
        assert index.documents == 1
    assert Path("search/main.sqlite").read_bytes() != before, "the forgotten user's document is not there"


def test_a_collection_with_a_checkpoint_has_vectors_and_counts_those_that_are_cut(
    params: Params, tiny_policy: Path
) -> None:
    assert "cut" not in run(params)[-1].metrics
    Path("documents/long.txt").write_text("The mill was built in 1820. " * 10)
    assert run(tiny(documents={"main": PLAN | {"embedding": str(tiny_policy)}}))[-1].metrics["cut"] == 1
    with opened(Path("search/main.sqlite"), embedding=content_of(tiny_policy)) as index:
        assert index.passages == 3


def test_a_document_that_cannot_be_read_stops_the_stage_and_leaves_the_index(params: Params) -> None:
    run(params)
    before = Path("search/main.sqlite").read_bytes()
    Path("documents/table.xls").write_text("1;2")
    words = r"1 documents cannot be read \(1 format\), .*main.max_refused.*table.xls: has no known"
    with pytest.raises(IndexProblem, match=words):
        run(params)
    assert Path("search/main.sqlite").read_bytes() == before


def test_evaluation_alone_depends_on_indexes_and_a_collection_is_a_stage() -> None:
    stages: dict[str, Any] = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
    bodies = {name: stage.get("do", stage) for name, stage in stages.items()}
    assert [name for name, body in bodies.items() if "data/search" in body["deps"]] == ["evaluate"]
    assert bodies["search_index"]["outs"] == [{"data/search/${key}.sqlite": {"cache": False}}]
    assert (PROJECT / "data/search/.gitignore").read_text() == "*.sqlite\n"
