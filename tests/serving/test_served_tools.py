"""What is shown of a turn that may be a call, and what a stream of the API says of it."""

from functools import partial
from pathlib import Path

import pytest

from alignloop.params.tools import ToolFunction, Tools
from alignloop.serving.engine import EngineSettings
from alignloop.serving.generation import CallNews, Piece
from alignloop.serving.local_engine import LocalEngine
from alignloop.serving.model_pool import ModelPool
from alignloop.serving.served_tools import SaidText, ServedTools
from alignloop.serving.served_version import ServedVersion
from alignloop.tool_turns import RolloutTurn, Turns
from alignloop.tools.processes import ToolError
from alignloop.web.cited_text import CitedText
from tests.serving.conftest import Policy

MARK = "<tool_call>"


@pytest.mark.parametrize(
    ("mark", "pieces", "shown", "rest"),
    [
        (MARK, ["It is <b", ">so</b> <tool"], ["It is <b", ">so</b> "], "<tool"),
        (MARK, ["Well. <too", "l_call>{", "}"], ["Well. ", "", ""], "<tool_call>{}"),
        (MARK, ["<", "t", "x"], ["", "", "<tx"], ""),
        ("", [" ", '{"na', 'me"'], ["", "", ""], ' {"name"'),
        ("", ["So ", '{"name"'], ["So ", '{"name"'], ""),
    ],
)
def test_text_is_shown_once_it_can_be_no_part_of_a_call(
    mark: str, pieces: list[str], shown: list[str], rest: str
) -> None:
    said = SaidText(mark)
    assert [said.add(piece) for piece in pieces] == shown
    assert said.rest() == rest
    assert said.whole == "".join(pieces)


def turns(*texts: str) -> Turns:
    by = ({"by": "policy"}, {"by": "tool", "tool": "search"}, {"by": "policy"})
    return tuple(
        RolloutTurn.model_validate({**by[place], "text": text, "tokens": 1})
        for place, text in enumerate(texts)
    )


def test_what_stood_before_a_call_is_in_a_stream_alone_and_moves_the_citations() -> None:
    call, answer, last = f'Wait. {MARK}{{"name": "search"}}', "[7] A | a.md | MIT\nb", "So [7]."
    pieces = [
        Piece(0, "Wait.", 2),
        Piece(0, "", 5, news=CallNews("search", "x"), turns=turns(call)),
        Piece(0, "", 0, news=CallNews("search", "x", "answered"), turns=turns(call, answer)),
        Piece(0, "So [", 2),
        Piece(0, "7].", 2, finish="stop", turns=turns(call, answer, last)),
    ]
    said = CitedText()
    stream = "".join(said.take(piece) for piece in pieces)
    assert stream == "Wait.\n\nSo [1]."
    assert said.text == "So [1]."
    [annotation] = said.fields(said.before)["annotations"]
    place = annotation["url_citation"]
    assert stream[place["start_index"] : place["end_index"]] == "[1]"
    [source] = said.fields()["sources"]
    assert (source["number"], source["document"], source["text"]) == (1, "a.md", "b")


def test_tools_that_cannot_be_used_are_one_message_and_no_model_is_served(
    tiny: Policy, tmp_path: Path
) -> None:
    class One:
        def versions(self) -> list[ServedVersion]:
            return [ServedVersion("m/1", (), "0" * 16)]

        def open(self, version: ServedVersion, settings: EngineSettings) -> LocalEngine:
            return LocalEngine(*tiny, settings)

    wrong = ToolFunction(function="own_tools.none:none", network=False, settings={})
    tools = Tools(functions=[wrong], max_calls=1, answer_tokens=64, timeout_s=1.0)
    pool = ModelPool(
        One(),
        EngineSettings(8, 8, 1000),
        standard="m/1",
        most_loaded=1,
        refresh_seconds=9.0,
        tools=partial(ServedTools, tools, root=tmp_path),
    )
    with pytest.raises(ToolError, match=r"own_tools\.none:none cannot be used: ModuleNotFoundError"):
        pool.start()
    pool.close()
