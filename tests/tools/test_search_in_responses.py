"""The search inside a response: what it showed, what is cited, and what stops the stage."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from alignloop.core.tokens import encode_response
from alignloop.params.tools import ToolFunction
from alignloop.retrieval.citations import retrieved, sourced
from alignloop.retrieval.documents import Document
from alignloop.retrieval.index import build
from alignloop.scoring.cited import Cited
from alignloop.scoring.drawn import Drawn, ScoreError
from alignloop.tools.schemas import ToolError
from alignloop.tools.toolbox import open_tools
from tests.tools.test_toolbox import ask, plan


def test_the_search_answers_in_a_response_and_its_citations_are_checked_against_it(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    index = tmp_path / "search.sqlite"
    content = build(index, [Document("mill.txt", "The mill", "Built in 1820, of oak.", "MIT")])
    settings: dict[str, Any] = {"index": str(index), "content": content}
    function = ToolFunction(function="alignloop.tools.search:search", network=False, settings=settings)
    with open_tools(plan(functions=[function]), tokenizer, tmp_path) as tools:
        assert tools
        call = tools.form.written("search", {"query": "mill"})
        [(outcome, told), (_, noted)] = ask(tools, tokenizer, call, call + call)
        assert retrieved([noted]) == retrieved([told]), "a note about a second call hides no passage"
        prompt = tools.encode_prompt(tokenizer, [{"role": "user", "content": "When?"}])
        tools.name(prompt, "p7")
        build(index, [Document("mill.txt", "The mill", "Built in 1822.", "MIT")])
        words = r"^tools: prompt p7: alignloop.tools.search:search: .*is expected; state the present one"
        with pytest.raises(ToolError, match=words):
            tools.answer([encode_response(tokenizer, call)], [prompt])
        index.unlink()
        with pytest.raises(ToolError, match="there is no such index; build it"):
            tools.answer([encode_response(tokenizer, call)])
    assert outcome == "answered"
    texts = ["In 1820 [1].", '"Built in 1830" [7], [1].', "In 1820."]
    drawn = Drawn([[1]] * 3, [[1]] * 3, [], texts, answers=[[told]] * 3)
    assert Cited("c", "citations")(drawn).tolist() == [1.0, 0.5, 0.0]
    assert Cited("q", "quotes")(drawn).tolist() == [1.0, 0.0, 1.0]
    with pytest.raises(ScoreError, match=r"ppo.score.c: no response can search; add the search"):
        Cited("c", "citations")(replace(drawn, answers=None))
    assert sourced(drawn.texts[0], [told]).as_text().endswith("Sources:\n[1] The mill, mill.txt (MIT)")
